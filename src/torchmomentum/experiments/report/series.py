"""The curves of an arm's runs, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torchmomentum.experiments.result import Result


class Series(NamedTuple):
    """Curves of runs.

    Attributes:
        x: Where the mean is: as far as all runs have come.
        mean: Over the runs.
        each: What each run has: x and y.
    """

    x: list[float]
    mean: list[float]
    each: list[tuple[list[float], list[float]]]


def series(runs: Sequence[Result], x: str, y: str, scale: float = 1.0) -> Series:
    """Two columns of the curves of one arm's runs, of which there is at least one."""
    each = [(run.curves[x], [scale * value for value in run.curves[y]]) for run in runs]
    # those under way are shorter
    mean = [sum(column) / len(column) for column in zip(*(y for _, y in each), strict=False)]
    return Series(each[0][0][: len(mean)], mean, each)
