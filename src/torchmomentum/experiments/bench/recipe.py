"""The recipe of a measurement. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import DEVICES, Recipe


@dataclass(frozen=True)
class Timing(Recipe):
    """One measurement: things side by side, at one size.

    Attributes:
        benchmark: What is measured, a key of :data:`~.bench.measure.MEASURES`.
        item: The size or the name of what is measured.
        seconds: For how long, about.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads; None for all.
    """

    computation: ClassVar[str] = "torchmomentum.experiments.bench.measure:measure"
    checking: ClassVar[str] = "torchmomentum.experiments.bench.measure:check"
    alone: ClassVar[bool] = True

    benchmark: str
    item: Sequence[int] | str
    seconds: float
    device: str = "cpu"
    threads: int | None = None

    @property
    def label(self) -> str:
        """The benchmark and the item."""
        item = self.item if isinstance(self.item, str) else "x".join(map(str, self.item))
        return f"{self.benchmark}-{''.join(c if c.isalnum() else '-' for c in item)}"

    def check(self, place: Place) -> None:
        """See :meth:`Recipe.check`."""
        check_name("device", self.device, DEVICES)
        if not self.seconds > 0:
            raise UsageError(f"seconds must be positive, got {self.seconds}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, got {self.threads}")
        super().check(place)


def timing_recipe(settings: Mapping[str, Any], seed: int) -> Timing:
    """A measurement of a study's settings; there are no seeds."""
    fields = ("benchmark", "item", "seconds", "device", "threads")
    return Timing(**{key: settings[key] for key in fields if settings.get(key) is not None})


def shown(recipe: Timing) -> dict[str, Any]:
    """The item in words."""
    item = recipe.item
    return {"item": item if isinstance(item, str) else ", ".join(map(str, item))}
