"""CIFAR-10 pixel by pixel in grey, a task of the linear recurrent unit's paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import some_of
from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._pixels import OPTIONS, SMOKE, PixelTask, pixels_task
from torchmomentum.experiments.tasks._task import GAINS_OF_ONE

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of red, green and blue


def _grey(images: Tensor) -> Tensor:
    """Pictures ``(N, 3, 32, 32)`` of bytes as rows of grey values in [-1, 1], ``(N, 1024)``."""
    grey = torch.zeros(len(images), *images.shape[2:])
    for color, weight in enumerate(_LUMA):
        grey += images[:, color] * (weight / 127.5)
    return grey.flatten(1) - 1.0


class CIFARPixels(PixelTask):
    """CIFAR-10 in grey, row by row, 1,024 steps. Of the training images 5,000 choose the epoch.

    The cell ``lru`` has a recipe after Orvieto et al., "Resurrecting recurrent neural networks for
    long sequences" (2023), unchecked: see ``docs/choices.md``. With another ``lr`` give another
    ``recurrent_lr``, a quarter of it, that of the decays. Other models' recipe is our own.
    """

    title = "CIFAR-10 pixel by pixel, 1,024 steps"
    source = "LRU's recipe, unchecked (180,000 iterations); others our own"
    metric, higher_is_better = "accuracy", True
    options: ClassVar[dict[str, Any]] = {**OPTIONS, "held_out": 5000}
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.05,
        "batch_size": 50,
        "epochs": 200,
        "clip": 1.0,
        "hidden_size": 512,
        "init": "torch",
        "schedule": {"cosine": True, "warmup": 0.1},
    }
    scales: ClassVar[dict[str, Any]] = {"smoke": SMOKE, "desk": {"epochs": 2, "hidden_size": 64}}
    cells: ClassVar[dict[str, Any]] = {
        "lru": {"lr": 5e-3, "recurrent_lr": 1.25e-3, "depth": 6, "dropout": 0.1, "clip": None}
    }
    rules = GAINS_OF_ONE
    pictures: ClassVar[str] = "cifar10"

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        found = load_cifar(self.pictures, folder, offline=offline)
        options = recipe.task_options
        chosen = some_of(len(found.test), options["test_limit"])  # a file may have class by class
        test = _grey(found.test[chosen]), found.test_labels[chosen]
        arrays = _grey(found.train), found.train_labels, *test
        return pixels_task(recipe, arrays, options["held_out"], self.permuted)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data(self.pictures, folder, offline=offline)


class CIFARPixelsJPEG(CIFARPixels):
    """The same of CIFAR-10's pictures, JPEG-encoded again."""

    title = "CIFAR-10's pictures as JPEG files pixel by pixel, 1,024 steps"
    pictures = "cifar10-jpeg"
