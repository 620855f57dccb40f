"""Encoded pictures as a stream of samples, from any position of any epoch on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from torchmomentum.experiments.data.batches import generator, some_of
from torchmomentum.experiments.data.cifar_files import JPEG_CLASSES
from torchmomentum.experiments.data.cifar_jpeg import load_encoded

_ORDER = -7  # a kind of draws, apart from all seeds


class Sample(NamedTuple):
    """An encoded image, its class, and what it is called in an error."""

    source: Path | bytes
    label: int
    name: str


Stream = Callable[[int, int], Iterator[Sample]]  # of an epoch, from a position on


class Part(NamedTuple):
    """The training or the validation images: a stream of them, how many, of how many classes."""

    stream: Stream
    size: int
    classes: int


def listed(samples: list[Sample], classes: int, seed: int | None, limit: int | None) -> Part:
    """Samples that are all known beforehand, in an order that is new each epoch.

    Args:
        samples: All of them.
        classes: How many classes they have.
        seed: Fixes the orders; None keeps the given one.
        limit: So many samples only, the same for every seed.
    """
    chosen = [samples[i] for i in sorted(some_of(len(samples), limit).tolist())]

    def stream(epoch: int, first: int) -> Iterator[Sample]:
        order = list(range(len(chosen)))
        if seed is not None:
            drawn = generator(_ORDER, seed, epoch)
            order = torch.randperm(len(chosen), generator=drawn).tolist()
        return (chosen[i] for i in order[first:])

    return Part(stream, len(chosen), classes)


def encoded_cifar(folder: Path, name: str, seed: int | None, limit: int | None) -> Part:
    """CIFAR-10's JPEG images, in ImageNet's place.

    Args:
        folder: The data folder, see :mod:`~torchmomentum.experiments.data.cifar_jpeg`.
        name: ``train`` or ``val``, which are the test images.
        seed: Fixes the order; None keeps the file's.
        limit: At most this many images.

    Raises:
        UsageError: The file is missing or damaged.
    """
    part = {"train": "train", "val": "test"}[name]
    images, labels = load_encoded(folder, part)
    samples = [
        Sample(image, label, f"image {i} of {part}.npz")
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    return listed(samples, JPEG_CLASSES, seed, limit)
