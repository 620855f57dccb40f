"""MNIST pixel by pixel, sections 3.1 and A.1 of the MomentumRNN paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.mnist import load_mnist, pooled
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._pixels import OPTIONS, SMOKE, PixelTask, pixels_task
from torchmomentum.experiments.tasks._task import Exceptions

_PUBLISHED: dict[str, Any] = {"held_out": 0, "permutation_per_seed": True}
_DTRIV: dict[str, Any] = {"alpha": 0.99, "orthogonal_init": "cayley"}


class MNIST(PixelTask):
    """MNIST row by row, 784 steps, or 196 where the images are pooled.

    Of the 60,000 training samples ``held_out`` are kept to choose the epoch on; the papers train on
    all of them. ``permutation_per_seed`` draws another order for each seed, as the released code
    does, so that the published spread includes that.
    """

    title = "MNIST pixel by pixel, 784 steps"
    source = "MomentumRNN paper, Tables 6-10"
    metric, higher_is_better = "accuracy", True
    options: ClassVar[dict[str, Any]] = {
        **OPTIONS,
        "pooled": False,
        "held_out": 5000,
        "permutation_per_seed": False,
    }
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
    scales: ClassVar[dict[str, Any]] = {
        "smoke": SMOKE,
        "desk": {"epochs": 2, "hidden_size": 128},
        "paper": _PUBLISHED,
    }
    cells: ClassVar[dict[str, Any]] = {"dtriv": {**_DTRIV, "lr": 1e-3, "orthogonal_lr": 1e-4}}
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.6, "step_size": 0.6},
        "nag": {"step_size": 1.0},
        "sr": {"step_size": 1.0, "restart": 2},
        "adam": {"mu": 0.6, "step_size": 0.6, "beta": 0.1},
        "rmsprop": {"step_size": 0.6, "beta": 0.9},
    }
    exceptions: ClassVar[Exceptions] = (
        ("rmsprop", {"hidden_size": 128}, {"beta": 0.99}),
        ("dtriv", {"hidden_size": 360}, {"lr": 5e-4, "orthogonal_lr": 1e-4, "rebase_every": 0}),
        ("dtriv", {"hidden_size": 512}, {"lr": 5e-4, "orthogonal_lr": 1e-4, "rebase_every": 100}),
    )

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        arrays, options = load_mnist(folder, offline=offline), recipe.task_options
        if options["pooled"]:
            images, labels, test_images, test_labels = arrays
            arrays = pooled(images), labels, pooled(test_images), test_labels
        return pixels_task(recipe, arrays, options["held_out"], self.permuted)

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
        "momentum-dtriv": {"mu": 0.6, "step_size": 0.9},
        "adam-dtriv": {"mu": 0.3, "step_size": 0.3, "beta": 0.8},
        "rmsprop-dtriv": {"step_size": 0.3, "beta": 0.9},
        "sr-dtriv": {"step_size": 0.3, "restart": 2},
    }
    cells: ClassVar[dict[str, Any]] = {"dtriv": {**_DTRIV, "lr": 7e-4, "orthogonal_lr": 2e-4}}
    exceptions: ClassVar[Exceptions] = (
        ("sr", {"hidden_size": 128}, {"restart": 6, "step_size": 0.01}),
        ("dtriv", {"hidden_size": 360}, {"lr": 7e-4, "orthogonal_lr": 5e-5, "rebase_every": 0}),
        ("dtriv", {"hidden_size": 512}, {"lr": 3e-4, "orthogonal_lr": 7e-5, "rebase_every": 0}),
        ("momentum-dtriv", {"hidden_size": 360}, {"mu": 0.3, "step_size": 0.3}),
        ("momentum-dtriv", {"hidden_size": 512}, {"mu": 0.3, "step_size": 0.3}),
    )
    permuted = True
