"""Batches of small pictures that are all in memory, augmented anew each epoch."""

from __future__ import annotations

from collections.abc import Iterator

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
from torchmomentum.experiments.errors import UsageError

_TEST_BATCH = 500
_ORDER, _AUGMENTATION = -5, -6  # kinds of draws, apart from all seeds


def augmented(
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int,
    seed: int,
    limit: int | None = None,
    device: str = "cpu",
) -> Batches:
    """Training batches: shuffled, cropped at random, mirrored at random, normalized.

    Args:
        images: ``(N, 3, H, W)`` uint8.
        labels: ``(N,)``.
        batch_size: Images of a step, on all processes together; an incomplete batch is dropped.
        seed: Fixes the order and the augmentation of every epoch.
        limit: At most this many images, the same for every seed.
        device: Where the images are kept and augmented.

    Raises:
        UsageError: There are fewer images than a batch has.
    """
    chosen = some_of(len(images), limit)
    if batch_size > len(chosen):
        raise UsageError(
            f"batch_size must be at most the {len(chosen)} training images, got {batch_size}"
        )
    images, labels = images[chosen].to(device), labels[chosen]
    order: dict[int, Tensor] = {}

    def make(epoch: int, index: int) -> Batch:
        if epoch not in order:
            order.clear()
            drawn = generator(_ORDER, seed, epoch)
            order[epoch] = torch.randperm(len(images), generator=drawn)
        batch = order[epoch][index * batch_size : (index + 1) * batch_size]
        draws = generator(_AUGMENTATION, seed, epoch, index)
        seen = crop_and_flip(images[batch.to(images.device)], draws)
        mine = part_of_this_process(len(batch))
        return normalize(seen[mine]), labels[batch[mine]]

    batches = Batches(make, len(images) // batch_size)
    batches.sharded = True
    return batches


class Pieces:
    """Test batches, normalized as they are asked for.

    Args:
        images: ``(N, 3, H, W)`` uint8.
        labels: ``(N,)``.
        limit: At most this many images, the same for every run.
        device: Where the images are kept.
        size: Images of a batch; the last may have fewer.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        limit: int | None = None,
        device: str = "cpu",
        size: int = _TEST_BATCH,
    ) -> None:
        chosen = some_of(len(images), limit)
        self._images, self._labels, self._size = images[chosen].to(device), labels[chosen], size

    def __iter__(self) -> Iterator[Batch]:
        pieces = zip(self._images.split(self._size), self._labels.split(self._size), strict=True)
        return ((normalize(x), y) for x, y in pieces)
