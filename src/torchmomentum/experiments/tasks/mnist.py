"""MNIST pixel by pixel, sections 4.1 and A.1 of the MomentumRNN paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.mnist import load_mnist
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._pixels import OPTIONS, SMOKE, pixels_task
from torchmomentum.experiments.tasks._task import Task

_VALIDATION = 5000  # of the 60,000 training samples


class MNIST(Task):
    """MNIST row by row, 784 steps."""

    title = "MNIST pixel by pixel, 784 steps"
    source = "MomentumRNN paper, Tables 6-10"
    metric, higher_is_better = "accuracy", True
    options = OPTIONS
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "rmsprop",
        "lr": 1e-3,
        "alpha": 0.9,
        "batch_size": 128,
        "epochs": 150,
        "clip": 1.0,
        "hidden_size": 256,
        "init": "paper",
        "forget_bias": 2.0,
    }
    scales: ClassVar[dict[str, Any]] = {"smoke": SMOKE, "desk": {"epochs": 2, "hidden_size": 128}}
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.6, "step_size": 0.6},
        "nag": {"step_size": 1.0},
        "sr": {"step_size": 1.0, "restart": 2},
        "adam": {"mu": 0.6, "step_size": 0.6, "beta": 0.1},
        "rmsprop": {"step_size": 0.6, "beta": 0.9},
    }
    exceptions = (("rmsprop", {"hidden_size": 128}, {"beta": 0.99}),)
    permuted: ClassVar[bool] = False

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        arrays = load_mnist(folder, offline=offline)
        return pixels_task(recipe, arrays, _VALIDATION, self.permuted)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data("mnist", folder, offline=offline)


class PermutedMNIST(MNIST):
    """MNIST in a fixed random order."""

    title = "MNIST pixel by pixel in a fixed random order, 784 steps"
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.6, "step_size": 1.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 40},
        "adam": {"mu": 0.6, "step_size": 1.0, "beta": 0.01},
        "rmsprop": {"step_size": 1.0, "beta": 0.01},
    }
    exceptions = (("sr", {"hidden_size": 128}, {"restart": 6, "step_size": 0.01}),)
    permuted = True
