"""CIFAR-10 and CIFAR-100 from their official archives, verified before anything is unpickled."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data import cifar_files
from torchmomentum.experiments.data.cifar_files import ARCHIVES, JPEG, JPEG_CLASSES, SITE, Archive
from torchmomentum.experiments.data.cifar_jpeg import decode_part
from torchmomentum.experiments.data.cifar_pickle import read_pickle
from torchmomentum.experiments.data.damage import damaged, read_file, told
from torchmomentum.experiments.data.download import download
from torchmomentum.experiments.data.folder import AGAIN, verify_sha256
from torchmomentum.experiments.errors import UsageError

_NO_BATCH = "is not a batch of CIFAR"
_VALUES = 3072  # of an image


class Images(NamedTuple):
    """Images ``(N, 3, 32, 32)`` uint8 and their labels ``(N,)``, for training and for the test."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int


class _Limited:
    """Of a stream so many bytes: what is packed small may unpack to any size."""

    def __init__(self, stream: io.BufferedIOBase, at_most: int) -> None:
        self._stream, self._at_most = stream, at_most

    def read(self, count: int) -> bytes:
        content = self._stream.read(count)
        self._at_most -= len(content)
        if self._at_most < 0:
            raise ValueError("it unpacks to more than it should hold")
        return content


def _unpickle(content: bytes, name: str) -> dict[bytes, Any]:
    with told(name, _NO_BATCH):
        found = read_pickle(content)
    if not isinstance(found, dict) or not isinstance(found.get(b"data"), np.ndarray):
        raise damaged(name, "it holds no data", _NO_BATCH)
    return found


def _batch(content: bytes, name: str, archive: Archive) -> tuple[Tensor, Tensor]:
    """The images and labels of a batch."""
    found = _unpickle(content, name)
    pixels, labels = found[b"data"], found.get(archive.labels)
    if pixels.shape[1] != _VALUES:
        raise damaged(name, f"{pixels.shape[1]} values an image, expected {_VALUES}", _NO_BATCH)
    if not isinstance(labels, list) or len(pixels) != len(labels):
        raise damaged(name, "not as many labels as images", _NO_BATCH)
    if not all(type(label) is int and 0 <= label < archive.classes for label in labels):
        raise damaged(name, f"a label is not in [0, {archive.classes})", _NO_BATCH)
    # a copy, since bytes cannot be written to
    return torch.from_numpy(pixels.copy()).view(-1, 3, 32, 32), torch.tensor(labels)


def _verify_md5(path: Path, content: bytes, expected: str, archive: str) -> None:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != expected:
        raise UsageError(
            f"{path} is damaged: md5 {digest}, expected {expected}; unpack {archive} again"
        )


def _unpacked(folder: Path, archive: Archive) -> dict[str, bytes]:
    """The batches in a folder, verified."""
    found = {}
    for name, expected in (archive.train | archive.test).items():
        found[name] = read_file(folder / name, archive.unpacked)
        _verify_md5(folder / name, found[name], expected, archive.name)
    return found


def _packed(path: Path, archive: Archive) -> dict[str, bytes]:
    """The batches in an archive, verified."""
    content = read_file(path, archive.size)
    verify_sha256(path, content, archive.sha256)
    wanted = {f"{archive.folder}/{name}": name for name in (*archive.train, *archive.test)}
    found = {}
    with told(path, remedy=AGAIN), gzip.open(io.BytesIO(content)) as unpacked:
        stream: Any = _Limited(unpacked, archive.unpacked)
        with tarfile.open(fileobj=stream, mode="r|") as file:  # nothing is written to the disk
            for member in file:
                if member.name in wanted and member.isreg() and not member.issparse():
                    data = file.extractfile(member)
                    found[wanted[member.name]] = data.read() if data else b""
    for name in wanted:
        if wanted[name] not in found:
            raise UsageError(f"{path} has no {name}")
    return found


def _find(folder: Path, name: str, offline: bool) -> Path:
    """The folder of an unpacked archive, else the archive, downloaded if need be."""
    path = cifar_files.find(folder, name, offline=offline)
    if path is None:
        archive, path = ARCHIVES[name], cifar_files.target(folder, name)
        download([SITE + archive.name], path, archive.sha256, archive.size)
    return path


def load_cifar(name: str, folder: Path, *, offline: bool = False) -> Images:
    """All images of a data set.

    Args:
        name: ``cifar10``, ``cifar100`` or ``cifar10-jpeg``.
        folder: The data folder. An official archive lies there, packed or unpacked, or in a folder
            of the data set's name; ``cifar10-jpeg`` is ``cifar10/train.npz`` and ``test.npz``, see
            :mod:`~torchmomentum.experiments.data.cifar_jpeg`.
        offline: Does not download what is missing.

    Raises:
        UsageError: A file is missing, damaged or cannot be downloaded.
    """
    if name == JPEG:
        return Images(*decode_part(folder, "train"), *decode_part(folder, "test"), JPEG_CLASSES)
    archive, path = ARCHIVES[name], _find(folder, name, offline)
    members = (_unpacked if path.is_dir() else _packed)(path, archive)

    def part(names: Iterable[str]) -> tuple[Tensor, Tensor]:
        batches = [_batch(members[k], f"{path}:{k}", archive) for k in names]
        return torch.cat([pixels for pixels, _ in batches]), torch.cat([y for _, y in batches])

    return Images(*part(archive.train), *part(archive.test), classes=archive.classes)
