"""Time to accuracy: how long each model trains until it is as good as the baseline becomes.

Table 16 of the MomentumRNN paper, for any comparison, with seeds. The target is on validation
samples, or on test samples where none are held out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results, ended


class Reached(NamedTuple):
    """When a run was as good as the target."""

    epochs: float
    seconds: float


def _column(results: Results) -> str:
    return "validation_metric" if results.has_validation() else "test_metric"


def target_of(results: Results) -> float:
    """What the baseline reaches in each of its seeds, unless the view names another.

    NaN where no run of the baseline came to its end.
    """
    given = results.view.get("target")
    if given is not None:
        return float(given)
    best: Any = max if results.higher_is_better else min
    reach: list[float] = [
        best(run.curves[_column(results)]) for run in ended(results.of(results.arms()[0]))
    ]
    if not reach:
        return math.nan
    return min(reach) if results.higher_is_better else max(reach)


def reached(run: Result, column: str, target: float, higher_is_better: bool) -> Reached | None:
    """The first epoch that is as good as the target, with the seconds trained up to it."""
    columns = (column, "epoch", "train_seconds")
    for value, epoch, seconds in zip(*(run.curves.get(c, []) for c in columns), strict=True):
        if value >= target if higher_is_better else value <= target:
            return Reached(epoch, seconds)
    return None


def seconds_to_target(results: Results, run: Result) -> float:
    """How long a run trained until it was as good as the target: its whole time, if it never was.

    Whether it was, :func:`reaches_target` tells.
    """
    found = _first(results, run)
    return float(run.curves["train_seconds"][-1]) if found is None else found.seconds


def reaches_target(results: Results, run: Result) -> bool:
    """Whether a run was ever as good as the target."""
    return _first(results, run) is not None


def _first(results: Results, run: Result) -> Reached | None:
    return reached(run, _column(results), target_of(results), bool(results.higher_is_better))


def _ended_at(results: Results, arm: dict[str, Any], target: float) -> list[Reached | None]:
    """When each run of an arm was as good as the target."""
    higher, column = bool(results.higher_is_better), _column(results)
    return [reached(run, column, target, higher) for run in results.of(arm)]


def _seconds(found: Sequence[Reached | None]) -> float | None:
    """The median, where all runs were as good as the target."""
    known = [each.seconds for each in found if each is not None]
    return statistics.median(known) if known and len(known) == len(found) else None


def until_target(results: Results) -> list[str]:
    """For each arm the median of the epochs until it was as good as the baseline becomes.

    With the ratio of the training times to the first arm's; "-" where a run never was.
    """
    target, arms = target_of(results), results.arms()
    found = [_ended_at(results, arm, target) for arm in arms]
    first, told = _seconds(found[0]) if found else None, []
    for each in found:
        seconds, epochs = _seconds(each), [r.epochs for r in each if r is not None]
        ratio = f", {seconds / first:.2f}x" if seconds is not None and first else ""
        told.append("-" if seconds is None else f"{statistics.median(epochs):g}{ratio}")
    return told


def _row(results: Results, arm: dict[str, Any], target: float, first: float | None) -> list[str]:
    runs = results.of(arm)
    found = _ended_at(results, arm, target)
    done = [each for each in found if each is not None]
    cells = [words.arm_name(results, arm), f"{len(done)} of {len(runs)}"]
    published = _published(results, arm)
    if len(done) < len(runs):
        return [*cells, "-", "-", "-", *published]
    epochs, seconds = (statistics.median(column) for column in zip(*done, strict=True))
    ratio = f"{seconds / first:.2f}" if first else "-"
    return [*cells, f"{epochs:g}", f"{seconds:.1f}", ratio, *published]


def _published(results: Results, arm: dict[str, Any]) -> list[str]:
    """The published minutes of a model and their ratio to the first, where there are any."""
    minutes = results.view.get("minutes")
    if minutes is None:
        return []
    first = next(iter(minutes.values()))
    return [f"{minutes[arm['model']]:g}", f"{minutes[arm['model']] / first:.2f}"]


def time_to_accuracy(results: Results) -> Table:
    """How many seeds reached the target, and after how long."""
    target, arms = target_of(results), results.arms()
    first = _seconds(_ended_at(results, arms[0], target))
    caption = (
        f"Training until {results.metric} {target:.4f} on "
        f"{_column(results).partition('_')[0]} samples of {results.study}; "
        "medians where all seeds reached it, the ratio to the first."
    )
    if "note" in results.view:
        caption += f" Scale {results.scale}: {results.view['note']}."
    head = ["model", "seeds that reached it", "epochs, median", "seconds, median", "ratio"]
    if "minutes" in results.view:
        head += ["minutes, published", "ratio, published"]
        caption += (
            " Seconds are of trainings that had other runs beside them, so their ratios are rough;"
            " epochs are exact."
        )
    return Table(head, [_row(results, arm, target, first) for arm in arms], caption)
