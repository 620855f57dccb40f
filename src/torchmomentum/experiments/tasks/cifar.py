"""CIFAR-10 and CIFAR-100, and CIFAR-10's pictures as JPEG files, which can stand in for others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.data.stored import Pieces, augmented
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._images import OPTIONS, image_data
from torchmomentum.experiments.tasks._task import Task


class CIFAR10(Task):
    """60,000 pictures of 32x32 pixels in ten classes."""

    title = "CIFAR-10"
    source = "slides, released settings"
    metric = "error"
    options = OPTIONS
    recipe: ClassVar[dict[str, Any]] = {"model": "preresnet", "batch_size": 128, "lr": 0.1}
    name: ClassVar[str] = "cifar10"

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        data, options = load_cifar(self.name, folder, offline=offline), recipe.task_options
        device = recipe.device
        if device == "cuda":  # that of this process, among several
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        train = augmented(
            data.train,
            data.train_labels,
            batch_size=recipe.batch_size,
            seed=recipe.order_seed,
            limit=options["train_limit"],
            device=device,
        )
        limit = options["test_limit"]
        test = Pieces(data.test, data.test_labels, limit=limit, device=device)
        return image_data(train, test, data.classes)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data(self.name, folder, offline=offline)


class CIFAR100(CIFAR10):
    """The same in a hundred classes."""

    title = "CIFAR-100"
    name = "cifar100"


class CIFAR10JPEG(CIFAR10):
    """CIFAR-10's pictures, JPEG-encoded again, so that the pixels differ from CIFAR-10's."""

    title = "CIFAR-10's pictures as JPEG files"
    name = "cifar10-jpeg"
