"""CIFAR-10 and CIFAR-100 from their official archives, verified before anything is unpickled."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data import cifar_files
from torchmomentum.experiments.data.cifar_files import ARCHIVES, JPEG, JPEG_CLASSES, SITE, Archive
from torchmomentum.experiments.data.cifar_jpeg import decode_part
from torchmomentum.experiments.data.download import download
from torchmomentum.experiments.data.folder import verify_sha256
from torchmomentum.experiments.errors import UsageError


class Images(NamedTuple):
    """Images ``(N, 3, 32, 32)`` uint8 and their labels ``(N,)``, for training and for the test."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int


# all that the batches need; numpy has moved its core since they were written
_ALLOWED = {
    *(("numpy", "ndarray"), ("numpy", "dtype")),
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
}


class _Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and calls nothing else whatever the file says."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        if name == "_reconstruct":
            return np.array(0).__reduce__()[0]  # where this numpy has it
        return getattr(np, name)


def _unpickle(content: bytes, name: str) -> dict[bytes, Any]:
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        raise UsageError(f"{name} is not a batch of CIFAR: {error}") from error
    if not isinstance(found, dict) or b"data" not in found:
        raise UsageError(f"{name} is not a batch of CIFAR: it holds no data")
    return found


def _batches(members: dict[str, bytes], labels_key: bytes) -> tuple[Tensor, Tensor]:
    """Images and labels of some batches, concatenated."""
    pixels, labels = [], []
    for name, content in members.items():
        found = _unpickle(content, name)
        if len(found[b"data"]) != len(found.get(labels_key, ())):
            raise UsageError(f"{name} is not a batch of CIFAR: not as many labels as images")
        pixels.append(torch.from_numpy(np.ascontiguousarray(found[b"data"])))
        labels += found[labels_key]
    return torch.cat(pixels).view(-1, 3, 32, 32), torch.tensor(labels)  # (N, 3, 32, 32), (N,)


def _unpacked(folder: Path, archive: Archive) -> dict[str, bytes]:
    """The batches in a folder, verified."""
    found = {}
    for name, expected in (archive.train | archive.test).items():
        content = (folder / name).read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != expected:
            raise UsageError(
                f"{folder / name} is damaged: md5 {digest}, expected {expected}; unpack "
                f"{archive.name} again"
            )
        found[name] = content
    return found


def _packed(path: Path, archive: Archive) -> dict[str, bytes]:
    """The batches in an archive, verified."""
    content = path.read_bytes()
    verify_sha256(path, content, archive.sha256)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        for name in (*archive.train, *archive.test):
            member = file.extractfile(f"{archive.folder}/{name}")
            if member is None:
                raise UsageError(f"{path} has no {archive.folder}/{name}")
            found[name] = member.read()
    return found


def _members(folder: Path, name: str, offline: bool) -> dict[str, bytes]:
    """The archive's batches: unpacked ones, else from the archive, else downloaded."""
    archive = ARCHIVES[name]
    path = cifar_files.find(folder, name, offline=offline)
    if path is None:
        path = cifar_files.target(folder, name)
        download([SITE + archive.name], path, archive.sha256)
    return _unpacked(path, archive) if path.is_dir() else _packed(path, archive)


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
    archive, members = ARCHIVES[name], _members(folder, name, offline)
    parts = ({k: members[k] for k in names} for names in (archive.train, archive.test))
    train, test = (_batches(part, archive.labels) for part in parts)
    return Images(*train, *test, classes=archive.classes)
