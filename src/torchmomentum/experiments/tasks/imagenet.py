"""ImageNet from folders of classes or from shards, decoded while training goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.augment import IMAGENET, normalize
from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.data.samples import encoded_cifar
from torchmomentum.experiments.data.streams import image_streams
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._images import OPTIONS, image_data
from torchmomentum.experiments.tasks._task import Task


class ImageNet(Task):
    """Pictures of any size, random crops of them to train on."""

    title = "ImageNet"
    source = "slides, released settings"
    metric = "error"
    options: ClassVar[dict[str, Any]] = {**OPTIONS, "size": 224, "workers": 0}
    recipe: ClassVar[dict[str, Any]] = {"model": "resnet", "batch_size": 256, "lr": 0.1}
    find = staticmethod(imagenet_part)
    files: ClassVar[str] = "imagenet"  # what must be there

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        options = recipe.task_options
        train, test, classes = image_streams(
            partial(self.find, folder),
            batch_size=recipe.batch_size,
            size=options["size"],
            seed=recipe.order_seed,
            workers=options["workers"],
            finish=partial(normalize, statistics=IMAGENET),
            train_limit=options["train_limit"],
            test_limit=options["test_limit"],
        )
        return image_data(train, test, classes)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data(self.files, folder, offline=offline)


class ImageNetCIFAR10JPEG(ImageNet):
    """CIFAR-10's JPEG pictures in ImageNet's place."""

    title = "CIFAR-10's pictures as JPEG files, read as ImageNet is"
    find = staticmethod(encoded_cifar)
    files = "cifar10-jpeg"
