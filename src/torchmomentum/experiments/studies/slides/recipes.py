"""The recipes of the slides' figures. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Recipe

IMAGES = ("digits", "mnist")
_HERE = "torchmomentum.experiments.studies.slides"
_LEAST = 100  # iterations


def recorded(iterations: int, points: int, shown: Sequence[int]) -> list[int]:
    """Which iterations a run records: those of its curve, and the table's.

    Args:
        iterations: How many there are.
        points: Of a curve, evenly spaced on a logarithmic axis.
        shown: Those of the table.
    """
    spaced = np.unique(np.geomspace(1, iterations, points).astype(int)) - 1
    return sorted({*spaced.tolist(), *(k for k in shown if k < iterations)})


def _check_iterations(iterations: int) -> None:
    if iterations < _LEAST:
        raise UsageError(f"iterations must be at least {_LEAST}, got {iterations}")


@dataclass(frozen=True)
class Descent(Recipe):
    """One method on the slides' quadratic.

    Attributes:
        method: Fields of :class:`~.methods.Method`.
        noise: ``exact``, ``decaying`` or ``constant``.
        iterations: How many points there are, the start counted in.
        seed: Of the noise.
        cycle: Whether the Laplacian is a cycle's instead of a path's.
        size: Of the problem.
        at: The iterations that are recorded.
    """

    computation: ClassVar[str] = f"{_HERE}.descent:descend"

    method: Mapping[str, Any]
    noise: str
    iterations: int
    seed: int
    cycle: bool = False
    size: int = 1000
    at: Sequence[int] = field(default_factory=tuple)

    def check(self, place: Place) -> None:
        """See :meth:`Recipe.check`."""
        _check_iterations(self.iterations)


@dataclass(frozen=True)
class Accumulation(Descent):
    """The same from the minimum on: the gap is what noise has accumulated."""


@dataclass(frozen=True)
class OnImages(Recipe):
    """One method on images, by mini-batches.

    Attributes:
        data: A name of :data:`IMAGES`.
        method: Its name.
        iterations: How many points there are, the start counted in.
        seed: Of the batches and of what else is random.
        at: The iterations that are recorded.
    """

    data: str
    method: str
    iterations: int = 0
    seed: int = 0
    at: Sequence[int] = field(default_factory=tuple)

    def check(self, place: Place) -> None:
        """See :meth:`Recipe.check`."""
        check_name("data", self.data, IMAGES)
        if self.at:
            _check_iterations(self.iterations)
        check_data(self.data, place.data, offline=place.offline)


@dataclass(frozen=True)
class Regression(OnImages):
    """An optimizer on softmax regression; without ``at`` the minimum itself."""

    computation: ClassVar[str] = f"{_HERE}.regression:follow"


@dataclass(frozen=True)
class Chain(OnImages):
    """A sampler on a Bayesian network."""

    computation: ClassVar[str] = f"{_HERE}.chains:follow"
