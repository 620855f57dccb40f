"""The 8x8 digits that scikit-learn ships, pixel by pixel: the embedded default data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.digits import load_digits
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._pixels import OPTIONS, SMOKE, PixelTask, pixels_task

_VALIDATION = 180  # of the 1,437 training samples


class Digits(PixelTask):
    """The digits row by row, 64 steps."""

    title = "8x8 digits pixel by pixel, 64 steps"
    source = "own (the data is not in the papers)"
    metric, higher_is_better = "accuracy", True
    options = OPTIONS
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "rmsprop",
        "lr": 1e-3,
        "alpha": 0.99,
        "batch_size": 64,
        "epochs": 40,
        "clip": 1.0,
        "hidden_size": 64,
        "init": "torch",
    }
    scales: ClassVar[dict[str, Any]] = {"smoke": SMOKE}
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.6, "step_size": 1.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 6},
        "adam": {"mu": 0.6, "step_size": 0.6, "beta": 0.9},
        "rmsprop": {"step_size": 0.6, "beta": 0.9},
    }

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return pixels_task(recipe, load_digits(), _VALIDATION, self.permuted)


class PermutedDigits(Digits):
    """The digits in a fixed random order."""

    title = "8x8 digits pixel by pixel in a fixed random order, 64 steps"
    permuted = True
