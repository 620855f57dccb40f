"""Gradients of states and inputs through a training: their norms at each step, and a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.canvas import new_grid, save
from torchmomentum.experiments.report.table import Table, filled
from torchmomentum.experiments.result import Results, ended, values

_WHEN = {"first": "before training", "last": "at the last record"}
_WHAT = {"state": "dL/dh", "input": "dL/dx"}


def gradients(results: Results) -> Table:
    """How much smaller the gradient is at the first step of a sequence than at the last."""
    caption = (
        f"{results.title}: the norm of the gradient at a sequence's first step over that at its "
        f"last, before training and at the last record."
    )
    if len(results.seeds) > 1:
        caption += f" Mean ± standard deviation; the maps show seed {results.seeds[0]}."
    if "note" in results.view:
        caption += f" Scale {results.scale}: {results.view['note']}."
    keys = [f"{what}_{when}" for what in _WHAT for when in ("first", "last")]
    head = ["model", *(f"{_WHAT[k.split('_')[0]]}, {_WHEN[k.split('_')[1]]}" for k in keys)]
    rows = []
    for arm in results.arms():
        runs = ended(results.of(arm))
        cells = [words.spread(values(runs, key), "{:.1e}".format) for key in keys]
        accuracy = words.spread(values(runs, "best"), lambda v: f"{100 * v:.2f}")
        rows.append([arm["model"], *cells, accuracy, words.diverged(results.of(arm))])
    head += ["test accuracy, %", "note"]
    return Table(*filled(head, rows), caption, f"Seeds {words.seeds(results)}")


def heat(results: Results, folder: Path) -> list[str]:
    """For each model a pair of maps: step over iteration, the norms' logarithm as colour."""
    from matplotlib.colors import LogNorm

    runs = [(arm["model"], results.of(arm)[0]) for arm in results.arms()]
    figure, grid = new_grid(9.0, 1.9 * len(runs), len(runs), len(_WHAT))
    for (name, run), pair in zip(runs, grid, strict=True):
        for (what, title), axes in zip(_WHAT.items(), pair, strict=True):
            columns: Any = list(zip(*run.curves[what], strict=True))  # a row for each step
            most = max(max(row) for row in columns) or 1.0
            image = axes.imshow(
                [[max(v, 1e-12 * most) for v in row] for row in columns],
                aspect="auto",
                origin="lower",
                norm=LogNorm(1e-6 * most, most),
                extent=(0, run.curves["iteration"][-1] or 1, 1, len(columns)),
            )
            axes.set_title(f"{title}, {name}", fontsize=8)
            axes.set_ylabel("step", fontsize=8)
            axes.tick_params(labelsize=7)
            figure.colorbar(image, ax=axes)
    for axes in grid[-1]:
        axes.set_xlabel("iteration", fontsize=8)
    return [save(figure, folder / "gradients")]
