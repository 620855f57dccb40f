"""What a program must do that a run is logged to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from torchmomentum.experiments.recipe import Recipe

PROJECT = "torchmomentum"  # what runs are found under, where the program's own setting has no name


class Sink(ABC):
    """Keeps numbers by name and step.

    Args:
        recipe: The run's, which a later process finds its log by.
        folder: The run's folder.
    """

    @abstractmethod
    def __init__(self, recipe: Recipe, folder: Path) -> None: ...

    @abstractmethod
    def last_steps(self, names: Sequence[str]) -> Mapping[str, int]:
        """The last step of each of these names that the log has."""

    @abstractmethod
    def write(self, values: Mapping[str, float], step: int) -> None:
        """Adds numbers; what is in the log once this returns may yet be lost by a kill."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """Ends the log of this process."""
