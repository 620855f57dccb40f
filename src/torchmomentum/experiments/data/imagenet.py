"""ImageNet's images as a stream of samples, from folders of classes or from tar shards."""

from __future__ import annotations

import importlib.util
import itertools
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchmomentum.experiments.data.damage import WholeFile, damaged, one_line, told
from torchmomentum.experiments.data.imagenet_files import find_shards
from torchmomentum.experiments.data.samples import Part, Sample, listed
from torchmomentum.experiments.errors import UsageError

_ENDINGS = (".jpeg", ".jpg", ".png")
_BLOCK = 512  # bytes of a tar file's
_DIGITS, _CLASSES = 20, 100_000  # of a class's number, at most
_SHUFFLED = 1000  # samples of a stream among which the next is drawn


def _classes(folder: Path) -> list[str]:
    with told(folder):
        return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _folder_part(folder: Path, classes: list[str], seed: int | None, limit: int | None) -> Part:
    """``folder/CLASS/IMAGE``; without a seed in the order of their names."""
    unknown = sorted({*_classes(folder)} - {*classes})
    if unknown:
        raise UsageError(f"{folder / unknown[0]} is no class of the training images")
    with told(folder):
        samples: list[Sample] = [
            Sample(path, number, str(path))
            for number, name in enumerate(classes)
            if (folder / name).is_dir()
            for path in sorted((folder / name).iterdir())
            if path.suffix.lower() in _ENDINGS
        ]
    return listed(samples, len(classes), seed, limit)


def _label(content: bytes) -> int:
    """A class's number.

    Raises:
        ValueError: It is none.
    """
    label = int(content[: _DIGITS + 1])
    if not 0 <= label < _CLASSES:
        raise ValueError(f"a class must be in [0, {_CLASSES}), got {label}")
    return label


def _labels(shard: Path) -> list[int]:
    """The classes of all samples of a shard, which is whole.

    Raises:
        UsageError: It is damaged. What is read of it later is in memory at once, so that no member
            may be larger than the shard says: sparse ones are, and packed shards.
    """
    found: list[int] = []
    with told(shard), WholeFile(shard) as stream, tarfile.open(fileobj=stream, mode="r:") as file:
        for member in file:
            if not (member.isdir() or (member.isreg() and not member.issparse())):
                raise ValueError(f"{member.name} is no regular file")
            if member.name.lower().endswith(".cls"):
                content: Any = file.extractfile(member)
                found.append(_label(content.read(_DIGITS + 1)))
        # where a header cannot be read tarfile takes it for the end
        stream.seek(file.offset)
        if stream.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError(f"no header and no end at byte {file.offset}")
    return found


def _sample(found: dict[str, Any]) -> Sample:
    """A sample of webdataset's."""
    name = one_line(f"{found['__url__']}: {found['__key__']}")
    image = next((found[e[1:]] for e in _ENDINGS if e[1:] in found), None)
    if image is None or "cls" not in found:
        raise UsageError(f"{name} has no image or class")
    return Sample(image, _label(found["cls"]), name)


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
    with told(f"{shards[0].parent}/{shards[0].name.partition('-')[0]}-*.tar"):
        for found in samples:
            yield _sample(found)


def _shard_part(shards: list[Path], seed: int | None, limit: int | None) -> Part:
    """Tar files whose samples are an image and its class, ``NAME.jpg`` and ``NAME.cls``."""
    if importlib.util.find_spec("webdataset") is None:
        raise UsageError("webdataset is missing: pip install webdataset")
    labels = [label for shard in shards for label in _labels(shard)]
    count = min(len(labels), limit or len(labels))

    def stream(epoch: int, first: int) -> Iterator[Sample]:
        position = first
        for sample in itertools.islice(_read_shards(shards, seed, epoch), first, count):
            yield sample
            position += 1
        if position < count:
            raise damaged(shards[0].parent, f"{count} classes (.cls) but {position} samples")

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
