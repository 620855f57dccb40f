"""The recipe of a training in which the gradients of all steps are recorded. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torchmomentum.experiments.recipe import Training


@dataclass(frozen=True)
class GradientNorms(Training):
    """A training whose gradients with respect to states and inputs are recorded.

    Attributes:
        every: Iterations between records.
    """

    computation: ClassVar[str] = "torchmomentum.experiments.engine.gradients:record_norms"

    every: int = 50

    @property
    def label(self) -> str:
        """As a training's."""
        return f"gradients-{super().label}"
