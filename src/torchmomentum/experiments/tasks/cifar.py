"""CIFAR-10 and CIFAR-100, and CIFAR-10's pictures as JPEG files, which can stand in for others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchmomentum.experiments.data.augment import crop_and_flip, normalize
from torchmomentum.experiments.data.batches import (
    Batch,
    Batches,
    generator,
    part_of_this_process,
    some_of,
)
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._data import Data
from torchmomentum.experiments.tasks._images import OPTIONS, image_data
from torchmomentum.experiments.tasks._task import Task

_TEST_BATCH = 500
_ORDER, _AUGMENTATION = -5, -6  # kinds of draws, apart from all seeds


class _Pieces:
    """Test images, normalized as they are asked for."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __iter__(self) -> Iterator[Batch]:
        pieces = zip(self.images.split(_TEST_BATCH), self.labels.split(_TEST_BATCH), strict=True)
        return ((normalize(x), y) for x, y in pieces)


def _batches(images: Tensor, labels: Tensor, recipe: Training) -> Batches:
    """Cropped and mirrored images, in an order that is new each epoch."""
    order: dict[int, Tensor] = {}

    def make(epoch: int, index: int) -> Batch:
        if epoch not in order:
            order.clear()
            drawn = generator(_ORDER, recipe.order_seed, epoch)
            order[epoch] = torch.randperm(len(images), generator=drawn)
        batch = order[epoch][index * recipe.batch_size : (index + 1) * recipe.batch_size]
        draws = generator(_AUGMENTATION, recipe.order_seed, epoch, index)
        seen = crop_and_flip(images[batch.to(images.device)], draws)
        mine = part_of_this_process(len(batch))
        return normalize(seen[mine]), labels[batch[mine]]

    return Batches(make, len(images) // recipe.batch_size)


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
        data = load_cifar(self.name, folder, offline=offline)
        chosen = some_of(len(data.train), recipe.task_options["train_limit"])
        if recipe.batch_size > len(chosen):
            raise UsageError(
                f"batch_size must be at most the {len(chosen)} training images, "
                f"got {recipe.batch_size}"
            )
        device = recipe.device
        if device == "cuda":  # that of this process, among several
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        train = _batches(data.train[chosen].to(device), data.train_labels[chosen], recipe)
        tested = some_of(len(data.test), recipe.task_options["test_limit"])
        test = _Pieces(data.test[tested].to(device), data.test_labels[tested])
        return image_data(train, test, data.classes)


class CIFAR100(CIFAR10):
    """The same in a hundred classes."""

    title = "CIFAR-100"
    name = "cifar100"


class CIFAR10JPEG(CIFAR10):
    """CIFAR-10's pictures, JPEG-encoded again, so that the pixels differ from CIFAR-10's."""

    title = "CIFAR-10's pictures as JPEG files"
    name = "cifar10-jpeg"
