"""A measure over two hyperparameters: a table and maps, published beside measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.canvas import new_grid, save
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results, ended

Cells = dict[tuple[Any, Any], list[float]]


def _tasks(results: Results) -> list[Any]:
    return results.axes["task"]


def _measured(results: Results, task: Any, model: str) -> Cells:
    """The values of each pair of the two hyperparameters."""
    one, two = results.view["grid"]
    key, found = results.view["value"][task], Cells()
    for arm in results.arms():
        if (arm["task"], arm["model"]) == (task, model):
            found[arm[one], arm[two]] = [r.values[key] for r in ended(results.of(arm))]
    return found


def _published(results: Results, task: Any) -> dict[tuple[Any, Any], float]:
    rows = results.view["published"][task]
    axes = [sorted({float(v) for v in results.view["axes"][n]}) for n in results.view["grid"]]
    return {
        (one, two): value
        for one, row in zip(reversed(axes[0]), rows, strict=True)
        for two, value in zip(axes[1], row, strict=True)
    }


def _agreement(ours: Cells, theirs: dict[tuple[Any, Any], float]) -> str:
    """Whether the order of the measured means is that of the published values."""
    from scipy.stats import spearmanr

    both = [(sum(v) / len(v), theirs[k]) for k, v in ours.items() if v and k in theirs]
    if len(both) < 3 or len({a for a, _ in both}) == 1:
        return "not comparable: too few values"
    found = spearmanr(*zip(*both, strict=True))
    said = "reproduced" if found.statistic > 0 and found.pvalue < 0.05 else "not reproduced"
    return f"{said}: rank correlation {found.statistic:+.2f} (p = {found.pvalue:.2g})"


def grid(results: Results) -> Table:
    """Measured values, the published ones in brackets; a row for each task and first parameter."""
    one, two = results.view["grid"]
    columns = sorted({arm[two] for arm in results.arms()})
    fixed, learned = results.axes["model"][0], results.axes["model"][1:]
    rows = []
    for task in _tasks(results):
        theirs, scale = _published(results, task), results.view["unit"][task]
        ours = _measured(results, task, fixed)

        def cell(values: list[float], published: float | None, scale: float = scale) -> str:
            told = words.spread([scale * v for v in values], "{:.2f}".format)
            return told if published is None else f"{told} ({published:g})"

        for first in sorted({k for k, _ in ours}, reverse=True):
            cells = [cell(ours.get((first, s), []), theirs.get((first, s))) for s in columns]
            rows.append([task, f"{first:g}", *cells, ""])
        rows[-1][-1] = _agreement(ours, theirs)
        for model in learned:
            for (first, second), values in _measured(results, task, model).items():
                blank = [""] * len(columns)
                blank[columns.index(second)] = cell(values, None)
                rows.append([task, f"{first:g}, learned from there", *blank, ""])
    caption = (
        f"{results.title}: {results.metric}, over {words.seed_count(results)}; the published value "
        "in brackets. The verdict is on the order of the measured means."
    )
    if "note" in results.view:
        caption += f" Scale {results.scale}, whose values are not the paper's: "
        caption += f"{results.view['note']}."
    head = ["task", one, *(f"{two} = {s:g}" for s in columns), "verdict"]
    return Table(head, rows, caption, f"Seeds {words.seeds(results)}")


class Map(NamedTuple):
    """A measure over two hyperparameters, in the paper's layout.

    Attributes:
        title: The task, and whose values they are.
        higher_is_better: Which way it improves.
        rows: The values of the first hyperparameter, falling.
        columns: Those of the second, rising.
        values: A row for each of the first; NaN where there is none.
    """

    title: str
    higher_is_better: bool
    rows: list[float]
    columns: list[float]
    values: list[list[float]]


def map_of(title: str, better: bool, cells: dict[tuple[Any, Any], float]) -> Map:
    """The map of values by the two hyperparameters."""
    first, second = (sorted({key[i] for key in cells}, reverse=i == 0) for i in (0, 1))
    values = [[cells.get((a, b), math.nan) for b in second] for a in first]
    return Map(title, better, first, second, values)


def maps_of(results: Results) -> Iterator[Map]:
    """For each task the measured and the published values."""
    for task in _tasks(results):
        unit = results.view["unit"][task]
        measured = _measured(results, task, results.axes["model"][0])
        ours = {k: unit * sum(v) / len(v) for k, v in measured.items() if v}
        better = unit == 100  # an accuracy; the rest are errors
        yield map_of(f"{task}, measured", better, ours)
        yield map_of(f"{task}, published", better, _published(results, task))


def maps(results: Results, folder: Path) -> list[str]:
    """Draws a row of maps for each task."""
    tasks = _tasks(results)
    figure, panels = new_grid(9.0, 3.6 * len(tasks), len(tasks), 2)
    for found, axes in zip(maps_of(results), panels.ravel(), strict=True):
        draw_map(axes, found, results.view["grid"])
    return [save(figure, folder / "grid")]


def draw_map(axes: Any, found: Map, names: Any) -> None:
    """One map; green is better."""
    title, better, first, second, shown = found
    axes.imshow(shown, cmap="RdYlGn" if better else "RdYlGn_r", aspect="auto")
    for i, row in enumerate(shown):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(second)), [f"{b:g}" for b in second])
    axes.set_yticks(range(len(first)), [f"{a:g}" for a in first])
    axes.set_xlabel(names[1])
    axes.set_ylabel(names[0])
    axes.set_title(title, fontsize=10)
