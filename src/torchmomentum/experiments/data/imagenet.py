"""ImageNet's images as a stream of samples, from folders of classes or from tar shards."""

from __future__ import annotations

import importlib.util
import itertools
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchmomentum.experiments.data.imagenet_files import find_shards
from torchmomentum.experiments.data.samples import Part, Sample, listed
from torchmomentum.experiments.errors import UsageError

_ENDINGS = (".jpeg", ".jpg", ".png")
_SHUFFLED = 1000  # samples of a stream among which the next is drawn


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
    return listed(samples, len(classes), seed, limit)


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


def _read_shards(shards: list[Path], seed: int | None, epoch: int) -> Iterator[Sample]:
    """All samples of an epoch; without a seed in the order in which they lie there."""
    import webdataset

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


def _shard_part(shards: list[Path], seed: int | None, limit: int | None) -> Part:
    """Tar files whose samples are an image and its class, ``NAME.jpg`` and ``NAME.cls``."""
    if importlib.util.find_spec("webdataset") is None:
        raise UsageError("webdataset is missing: pip install webdataset")
    labels = _labels(shards)
    count = min(len(labels), limit or len(labels))

    def stream(epoch: int, first: int) -> Iterator[Sample]:
        return itertools.islice(_read_shards(shards, seed, epoch), first, count)

    return Part(stream, count, max(labels, default=-1) + 1)


def imagenet_part(folder: Path, name: str, seed: int | None, limit: int | None) -> Part:
    """ImageNet's images in a data folder.

    Args:
        folder: Has ``imagenet/train/CLASS/*.JPEG`` and ``imagenet/val/CLASS/*.JPEG``, or
            ``imagenet/train-*.tar`` and ``val-*.tar`` whose samples are an image and its class
            (``.cls``).
        name: ``train`` or ``val``.
        seed: Fixes the order; None keeps that of the files.
        limit: At most this many images; of shards the first of each epoch's stream.

    Raises:
        UsageError: Images are missing or damaged.
    """
    shards = find_shards(folder, name)
    folder = folder / "imagenet"
    if shards:
        part = _shard_part(shards, seed, limit)
    else:
        known = folder / "train"  # which number its classes
        classes = _classes(known if known.is_dir() else folder / name)
        part = _folder_part(folder / name, classes, seed, limit)
    if not part.size:
        raise UsageError(f"{folder} holds no {name} images")
    return part
