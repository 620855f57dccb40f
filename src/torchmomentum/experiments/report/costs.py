"""What a sample costs each model: published beside measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchmomentum.experiments.published.momentumrnn import NAMES
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results

_ALIKE = 0.02  # a ratio so near to one is no difference


def _side(ratio: float) -> str:
    return "as much" if abs(ratio - 1) <= _ALIKE else "more" if ratio > 1 else "less"


def _verdict(published: float, measured: Mapping[str, Any], ours: Mapping[str, Any] | None) -> str:
    """Whether a model costs more or less than the LSTM of the same implementation, as published.

    Args:
        published: Its ratio to the paper's LSTM.
        measured: Its ratio to ``nn.LSTM``, with quartiles where there are any.
        ours: That of our LSTM; None where it was not measured.
    """
    if ours is None:
        return "not comparable: nn.LSTM is another implementation"
    claimed, found = _side(published), _side(measured["ratio"] / ours["ratio"])
    low, high = (q / ours["ratio"] for q in measured.get("ratio_quartiles", (1.0, 1.0)))
    if found != "as much" and low < 1 < high:
        return f"not reproduced ({claimed}): not separable"
    if found == claimed:
        return f"reproduced: {claimed}"
    contrary = "as much" not in (found, claimed)
    return f"not reproduced ({claimed}): {'the contrary' if contrary else found}"


def costs(results: Results) -> Table:
    """Each quantity, and its ratio to the LSTM's, beside the published."""
    (run,), view = results.runs, results.view
    head, rows = ["model"], list[list[str]]()
    for column in view["columns"]:
        head += [f"{column}, published", f"{column}, measured"]
        head += ["ratio, published", "ratio, measured"]
    for name, found in run.values.items():
        theirs, first = view["published"][NAMES.get(name, name)], view["published"]["LSTM"]
        cells, said = [name], ""
        for column, value, baseline in zip(view["columns"], theirs, first, strict=True):
            ours = found[column]
            cells += [f"{value:.2f}", f"{ours[view['unit']]:.2f}"]
            cells += [f"{value / baseline:.2f}", f"{ours['ratio']:.2f}"]
            if column == view["ratio"] and theirs is not first:
                own = run.values.get("LSTM")
                said = _verdict(value / baseline, ours, None if own is None else own[column])
        rows.append([*cells, said])
    head.append("verdict")
    device = "a CPU" if run.recipe["device"] == "cpu" else run.provenance.get("gpu", "a GPU")
    shape, threads = run.arm["item"], ""
    if run.recipe.get("threads"):
        threads = f" in {words.counted(run.recipe['threads'], 'thread')}"
    caption = (
        f"{results.title}, T, B, I, H = {shape}, measured on {device}{threads}. Ratios are to "
        "nn.LSTM; the paper measured cells in Python on another machine. The verdict is on "
        f"whether a model's {view['ratio']} is above or below that of the LSTM of the same "
        "implementation; within "
        f"{100 * _ALIKE:g} % it costs as much, and what has quartiles on both sides of one is not "
        "separable."
    )
    return Table(head, rows, caption)
