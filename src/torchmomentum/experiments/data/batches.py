"""Batches as a pure function of a seed, an epoch and an index: what makes a run resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed

Batch = tuple[Any, Tensor]  # inputs, a tensor or a tuple of them, and the target


def generator(*numbers: int) -> torch.Generator:
    """A random generator for a tuple of numbers, independent of all others."""
    seed = 0
    for number in numbers:
        # splitmix64's finalizer, so that neighbouring tuples give unrelated seeds
        seed = (seed + number + 0x9E3779B97F4A7C15) % 2**64
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) % 2**64
        seed ^= seed >> 31
    return torch.Generator().manual_seed(seed % 2**63)


_CHOSEN = -4  # a kind of draws, apart from all seeds


def some_of(count: int, limit: int | None) -> Tensor:
    """Which samples a limit leaves, the same for every run: files may be sorted by class."""
    return torch.randperm(count, generator=generator(_CHOSEN))[:limit]


def part_of_this_process(count: int) -> slice:
    """Which of a batch's samples this process trains on, where several train together."""
    if not distributed.is_initialized():
        return slice(None)
    return slice(distributed.get_rank(), count, distributed.get_world_size())


class BatchStream:
    """The training batches of one epoch, from any index on.

    Args:
        count: Batches in an epoch.

    Attributes:
        epoch: Which epoch the next iteration gives.
        start: From which batch on.
        sharded: Whether a batch is :func:`part_of_this_process`, and not the whole one.
    """

    sharded = False

    def __init__(self, count: int) -> None:
        self._count = count
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's batches, from ``start`` on."""
        raise NotImplementedError


class Batches(BatchStream):
    """Batches that are made one by one.

    Args:
        make: ``make(epoch, index)``, a batch.
        count: Batches in an epoch.
    """

    def __init__(self, make: Callable[[int, int], Batch], count: int) -> None:
        super().__init__(count)
        self._make = make

    def __iter__(self) -> Iterator[Batch]:
        for index in range(self.start, len(self)):
            yield self._make(self.epoch, index)


def reordered(count: int, batch_size: int, seed: int, pick: Callable[[Tensor], Batch]) -> Batches:
    """Batches of stored samples, in an order that is new each epoch; an incomplete one is dropped.

    Args:
        count: Samples.
        batch_size: Samples in a batch, at most ``count``.
        seed: Fixes the orders.
        pick: ``pick(indices)``, the batch of these samples.
    """
    order: dict[int, Tensor] = {}

    def make(epoch: int, index: int) -> Batch:
        if epoch not in order:
            order.clear()
            order[epoch] = torch.randperm(count, generator=generator(seed, epoch))
        return pick(order[epoch][index * batch_size : (index + 1) * batch_size])

    return Batches(make, count // batch_size)


def shuffled(inputs: Tensor, targets: Tensor, batch_size: int, seed: int) -> Batches:
    """:func:`reordered` samples: ``(N, T)`` pixels, one fed at each step, ``(N,)`` targets."""

    def pick(chosen: Tensor) -> Batch:
        return as_sequence(inputs[chosen]), targets[chosen]

    return reordered(len(inputs), batch_size, seed, pick)


def as_sequence(pixels: Tensor) -> Tensor:
    """``(B, T)`` pixels as a sequence ``(T, B, 1)``."""
    return pixels.t().contiguous().unsqueeze(-1)


def generated(
    draw: Callable[[int, int, torch.Generator], Batch],
    batch_size: int,
    length: int,
    count: int,
    seed: int,
) -> Batches:
    """Batches drawn anew each step. ``draw(batch_size, length, generator)`` makes one."""

    def make(epoch: int, index: int) -> Batch:
        return draw(batch_size, length, generator(seed, epoch, index))

    return Batches(make, count)
