"""ImageNet from folders of classes or from tar shards, read as a stream while training goes on.

CIFAR-10's JPEG images can take its place.
"""

from __future__ import annotations

import itertools
import math
import random
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import (
    Batch,
    BatchStream,
    generator,
    part_of_this_process,
    some_of,
)
from torchmomentum.experiments.data.cifar import CLASSES, load_encoded
from torchmomentum.experiments.data.folder import VARIABLE
from torchmomentum.experiments.data.pictures import decode_colors
from torchmomentum.experiments.errors import UsageError

_ENDINGS = (".jpeg", ".jpg", ".png")
_SHUFFLED = 1000  # samples of a stream among which the next is drawn
_AHEAD = 3  # batches that are decoded before they are asked for
_ORDER, _AUGMENTATION = -7, -8  # kinds of draws, apart from all seeds
_AREA, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a training crop
_TRIES = 10
_LARGER = 256 / 224  # how much larger than its crop a test image is made


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


# --- where samples come from --------------------------------------------------------------------


def _listed(samples: list[Sample], classes: int, seed: int | None, limit: int | None) -> Part:
    """Samples that are all known, in an order of each epoch's; without a seed in the given one."""
    chosen = [samples[i] for i in sorted(some_of(len(samples), limit).tolist())]

    def stream(epoch: int, first: int) -> Iterator[Sample]:
        order = list(range(len(chosen)))
        if seed is not None:
            drawn = generator(_ORDER, seed, epoch)
            order = torch.randperm(len(chosen), generator=drawn).tolist()
        return (chosen[i] for i in order[first:])

    return Part(stream, len(chosen), classes)


def encoded_cifar(folder: Path, name: str, seed: int | None, limit: int | None) -> Part:
    """CIFAR-10's JPEG images: see :func:`~torchmomentum.experiments.data.cifar.load_cifar`."""
    part = {"train": "train", "val": "test"}[name]
    images, labels = load_encoded(folder, part)
    samples = [
        Sample(*each, f"image {i} of {part}.npz")
        for i, each in enumerate(zip(images, labels, strict=True))
    ]
    return _listed(samples, CLASSES, seed, limit)


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _folder_part(folder: Path, classes: list[str], seed: int | None, limit: int | None) -> Part:
    """``folder/CLASS/IMAGE``; without a seed in the order of their names."""
    unknown = sorted({*_classes(folder)} - {*classes})
    if unknown:
        raise UsageError(f"{folder / unknown[0]} is no class of the training images")
    samples: list[Sample] = [
        Sample(path, number, str(path))
        for number, name in enumerate(classes)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in _ENDINGS
    ]
    return _listed(samples, len(classes), seed, limit)


def _labels(shards: list[Path]) -> list[int]:
    """The classes of all samples of some shards."""
    found: list[int] = []
    for shard in shards:
        try:
            with tarfile.open(shard) as file:
                for member in file:
                    content = file.extractfile(member) if member.name.endswith(".cls") else None
                    if content is not None:
                        found.append(int(content.read()))
        except (OSError, tarfile.TarError, ValueError) as error:
            raise UsageError(f"{shard} is damaged: {error}") from error
    return found


def _shard_part(shards: list[Path], seed: int | None, limit: int | None) -> Part:
    """Tar files whose samples are an image and its class, ``NAME.jpg`` and ``NAME.cls``."""
    try:
        import webdataset
    except ImportError as error:
        raise UsageError("webdataset is missing: pip install webdataset") from error
    labels = _labels(shards)
    count = min(len(labels), limit or len(labels))

    def read(epoch: int) -> Iterator[Sample]:
        names = [str(shard) for shard in shards]
        drawn = random.Random(f"{seed} {epoch}")
        if seed is not None:
            drawn.shuffle(names)
        # every process reads all shards and takes its part of each batch
        samples: Any = webdataset.WebDataset(
            names, shardshuffle=False, nodesplitter=lambda urls: urls, empty_check=False
        )
        if seed is not None:
            samples = samples.shuffle(_SHUFFLED, rng=drawn)
        for sample in samples:
            image = next((sample[e[1:]] for e in _ENDINGS if e[1:] in sample), None)
            if image is None or "cls" not in sample:
                raise UsageError(f"{sample['__url__']}: {sample['__key__']} has no image or class")
            yield Sample(image, int(sample["cls"]), f"{sample['__url__']}: {sample['__key__']}")

    def stream(epoch: int, first: int) -> Iterator[Sample]:
        return itertools.islice(read(epoch), first, count)

    return Part(stream, count, max(labels, default=-1) + 1)


def imagenet_part(folder: Path, name: str, seed: int | None, limit: int | None) -> Part:
    """ImageNet's images in a data folder.

    Args:
        folder: Has ``imagenet/train/CLASS/*.JPEG`` and ``imagenet/val/CLASS/*.JPEG``, or
            ``imagenet/train-*.tar`` and ``val-*.tar`` whose samples are an image and its class
            (``.cls``).
        name: ``train`` or ``val``.
        seed: Fixes the order; None leaves it.
        limit: So many images only; of shards the first of each epoch's stream.

    Raises:
        UsageError: Images are missing or damaged.
    """
    folder = folder / "imagenet"
    shards = sorted(folder.glob(f"{name}-*.tar"))
    if shards:
        part = _shard_part(shards, seed, limit)
    elif (folder / name).is_dir():
        known = folder / "train"  # which number its classes
        classes = _classes(known if known.is_dir() else folder / name)
        part = _folder_part(folder / name, classes, seed, limit)
    else:
        raise UsageError(
            f"ImageNet is not in {folder}: place {name}/CLASS/*.JPEG or {name}-*.tar there (it "
            f"cannot be downloaded), set --data-dir or {VARIABLE}, or let cifar10-jpeg stand in"
        )
    if not part.size:
        raise UsageError(f"{folder} holds no {name} images")
    return part


# --- what is done to them -----------------------------------------------------------------------


def _crop(width: int, height: int, drawn: random.Random) -> tuple[int, int, int, int]:
    """A part of an image of random area and ratio of its sides; the middle where none fits."""
    for _ in range(_TRIES):
        area = width * height * drawn.uniform(*_AREA)
        ratio = math.exp(drawn.uniform(*map(math.log, _RATIO)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = drawn.randint(0, width - w), drawn.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _center(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    side = min(width, height) * size / round(size * _LARGER)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def decode(source: Path | bytes, size: int, seed: str | None, name: str) -> Tensor:
    """One image as ``(3, size, size)`` uint8.

    Args:
        source: A file, or what is in it.
        size: Pixels of a side.
        seed: Fixes the random crop and mirroring of training; None takes the middle.
        name: What an error calls it.

    Raises:
        UsageError: It is no image, or damaged.
    """
    from PIL import Image

    try:
        colors = decode_colors(source)
    except ValueError as error:
        raise UsageError(f"{name} cannot be decoded: {error}") from error
    drawn = random.Random(seed)
    if seed is None:
        box: tuple[float, float, float, float] = _center(colors.width, colors.height, size)
    else:
        box = _crop(colors.width, colors.height, drawn)
    colors = colors.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if seed is not None and drawn.random() < 0.5:
        colors = colors.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(colors)).permute(2, 0, 1)


# --- batches ------------------------------------------------------------------------------------


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
        stacked = torch.stack([image.result() for image in images])
        return self._finish(stacked), torch.tensor(labels)


class _Pool(ThreadPoolExecutor):
    """Threads that end what they are at, and begin nothing more, where a run stops midway."""

    def close(self) -> None:
        self.shutdown(cancel_futures=True)


def imagenet(
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
    """ImageNet's training batches, its validation images to test on, and the number of classes.

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
