"""Batches of encoded pictures, read and decoded while training goes on."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import Batch, BatchStream, part_of_this_process
from torchmomentum.experiments.data.crops import decode
from torchmomentum.experiments.data.samples import Part, Sample
from torchmomentum.experiments.errors import UsageError

_AHEAD = 3  # batches that are decoded before they are asked for
_AUGMENTATION = -8  # a kind of draws, apart from all seeds


class LoadedBatches(BatchStream):
    """Batches that are read and decoded by threads, ahead of the training, in a fixed order.

    Args:
        part: Where samples come from.
        batch_size: Samples of a batch, on all devices together.
        size: Pixels of an image's side.
        seed: Fixes crops and mirroring; None for a test, whose last batch may be smaller.
        workers: Threads.
        finish: What is done to a batch of images, uint8.
    """

    sharded = True

    def __init__(
        self,
        part: Part,
        batch_size: int,
        size: int,
        seed: int | None,
        workers: int,
        finish: Callable[[Tensor], Tensor],
    ) -> None:
        count = part.size // batch_size if seed is not None else -(-part.size // batch_size)
        super().__init__(count)
        self._part, self._size, self._seed = part, size, seed
        self._batch_size, self._workers, self._finish = batch_size, workers, finish

    def _decode(self, epoch: int, position: int, sample: Sample) -> Tensor:
        seed = None if self._seed is None else f"{_AUGMENTATION} {self._seed} {epoch} {position}"
        return decode(sample.source, self._size, seed, sample.name)

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's batches, from ``start`` on."""
        epoch, first = self.epoch, self.start * self._batch_size
        stream = enumerate(self._part.stream(epoch, first), first)
        mine = slice(None) if self._seed is None else part_of_this_process(self._batch_size)
        waiting: deque[tuple[list[Future[Tensor]], list[int]]] = deque()
        with closing(_Pool(self._workers)) as pool:
            for _ in range(self.start, len(self)):
                chosen = list(itertools.islice(stream, self._batch_size))[mine]
                images = [pool.submit(self._decode, epoch, k, sample) for k, sample in chosen]
                waiting.append((images, [sample.label for _, sample in chosen]))
                if len(waiting) > _AHEAD:
                    yield self._gather(*waiting.popleft())
            while waiting:
                yield self._gather(*waiting.popleft())

    def _gather(self, images: list[Future[Tensor]], labels: list[int]) -> Batch:
        stacked = torch.stack([image.result() for image in images])  # (B, 3, size, size)
        return self._finish(stacked), torch.tensor(labels)


class _Pool(ThreadPoolExecutor):
    """Threads that finish what they are at, and begin nothing more, where a run stops midway."""

    def close(self) -> None:
        self.shutdown(cancel_futures=True)


def image_streams(
    find: Callable[[str, int | None, int | None], Part],
    *,
    batch_size: int,
    size: int,
    seed: int,
    workers: int,
    finish: Callable[[Tensor], Tensor],
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> tuple[BatchStream, Iterable[Batch], int]:
    """Training batches, batches of validation images to test on, and the number of classes.

    Args:
        find: Where images come from: of ``train`` or ``val``, a seed for their order and how many.
        batch_size: Images of a step, on all devices together.
        size: Pixels of an image's side.
        seed: Fixes order and augmentation.
        workers: Threads that read and decode; 0 is one.
        finish: What is done to a batch of images, uint8.
        train_limit: So many training images only.
        test_limit: So many images to test on only.

    Raises:
        UsageError: Images are missing or damaged.
    """
    make = partial(LoadedBatches, size=size, workers=max(1, workers), finish=finish)
    train = find("train", seed, train_limit)
    if batch_size > train.size:
        raise UsageError(
            f"batch_size must be at most the {train.size} training images, got {batch_size}"
        )
    test = find("val", None, test_limit)
    if test.classes > train.classes:
        raise UsageError(
            f"there are {train.classes} classes to train on and {test.classes} to test on"
        )
    return make(train, batch_size, seed=seed), make(test, batch_size, seed=None), train.classes
