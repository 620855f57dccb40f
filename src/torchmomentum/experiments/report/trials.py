"""A search: its trials, the best first, and what the metric is at each value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.canvas import new_grid, save
from torchmomentum.experiments.report.grid import Map, draw_map, map_of
from torchmomentum.experiments.report.table import Table, filled
from torchmomentum.experiments.result import Results, ended, validation_of, values

_SHOWN = 20
_COLUMNS = 3


def score(results: Results, arm: dict[str, Any]) -> float | None:
    """What an arm was judged by: see :func:`~.result.validation_of`."""
    return validation_of(results.of(arm))


def _ranked(results: Results) -> list[dict[str, Any]]:
    """The arms, the best first, those that diverged last."""
    scores = [(arm, score(results, arm)) for arm in results.arms()]
    known = [(arm, found) for arm, found in scores if found is not None]
    higher = bool(results.higher_is_better)
    ranked = [arm for arm, _ in sorted(known, key=lambda pair: pair[1], reverse=higher)]
    return [*ranked, *(arm for arm, found in scores if found is None)]


def trials(results: Results) -> Table:
    """The best trials of a search."""
    names, rows = list(results.axes), []
    for arm in _ranked(results)[:_SHOWN]:
        runs, found = results.of(arm), score(results, arm)
        rows.append(
            [
                *(str(arm[name]) for name in names),
                "-" if found is None else words.number(found),
                words.spread(values(ended(runs), "chosen")),
                words.diverged(runs),
            ]
        )
    direction = "higher" if results.higher_is_better else "lower"
    view = results.view
    caption = (
        f"{results.title}: {results.metric} ({direction} is better) of the best of "
        f"{words.counted(view['trials'], 'trial')} of {view['model']}, by the mean over "
        f"{words.seed_count(results)} on validation samples at the best epoch; beside it the test "
        "samples at that epoch, which no choice was made by."
    )
    if view["pruned"]:
        caption += f" {view['pruned']} trials were ended early, and are not shown."
    head = [*names, f"validation {results.metric}", f"test {results.metric}", "note"]
    return Table(*filled(head, rows), caption, f"Seeds {words.seeds(results)}")


def points_of(results: Results, name: str) -> list[tuple[Any, float]]:
    """The values that were tried of a setting, and the scores."""
    known = [(arm[name], score(results, arm)) for arm in results.arms()]
    return [(at, found) for at, found in known if found is not None]


def map_of_trials(results: Results) -> Map | None:
    """The scores over two listed settings; None for other searches."""
    listed = [name for name, of in results.view["space"].items() if of == "values"]
    numeric = all(isinstance(v, (int, float)) for name in listed for v in results.axes[name])
    if len(listed) != 2 or len(results.axes) != 2 or not numeric:
        return None
    pairs = zip(*(points_of(results, name) for name in listed), strict=True)
    cells = {(a, b): found for (a, found), (b, _) in pairs}
    title = f"{results.study}: validation {results.metric}"
    return map_of(title, bool(results.higher_is_better), cells)


def landscape(results: Results, folder: Path) -> list[str]:
    """Draws a map of the scores over two listed settings, else the score against each setting."""
    found = map_of_trials(results)
    if found is None:
        return [_panels(results, folder)]
    figure, panels = new_grid(5.4, 4.2, 1, 1)
    draw_map(panels[0][0], found, list(results.view["space"]))
    return [save(figure, folder / "landscape")]


def _panels(results: Results, folder: Path) -> str:
    names = list(results.axes)
    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    figure, panels = new_grid(4.0 * columns, 3.2 * rows, rows, columns)
    flat = [axes for row in panels for axes in row]
    for name, axes in zip(names, flat, strict=False):
        points = points_of(results, name)
        axes.scatter([at for at, _ in points], [found for _, found in points], s=18, alpha=0.7)
        if results.view["space"][name] == "log":
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    for axes in flat[len(names) :]:
        axes.set_axis_off()
    flat[0].set_ylabel(f"validation {results.metric}")
    return save(figure, folder / "landscape")
