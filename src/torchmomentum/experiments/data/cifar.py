"""CIFAR-10 and CIFAR-100 from their official archives, verified before anything is unpickled.

``cifar10-jpeg`` is CIFAR-10 encoded again as JPEG by a third party: its pixels differ slightly.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data.folder import VARIABLE, download, sha256
from torchmomentum.experiments.data.pictures import decode_colors
from torchmomentum.experiments.errors import UsageError

_SITE = "https://www.cs.toronto.edu/~kriz/"


class Images(NamedTuple):
    """Images ``(N, 3, 32, 32)`` uint8 and their labels ``(N,)``, for training and for the test."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int


class _Archive(NamedTuple):
    """An official archive: its checksums and what is in it."""

    name: str
    sha256: str
    folder: str
    labels: bytes
    classes: int
    train: dict[str, str]  # members and their md5
    test: dict[str, str]


ARCHIVES = {
    "cifar10": _Archive(
        name="cifar-10-python.tar.gz",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        folder="cifar-10-batches-py",
        labels=b"labels",
        classes=10,
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    ),
    "cifar100": _Archive(
        name="cifar-100-python.tar.gz",
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        folder="cifar-100-python",
        labels=b"fine_labels",
        classes=100,
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    ),
}
JPEG, CLASSES = "cifar10-jpeg", 10
NAMES = (*ARCHIVES, JPEG)
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


def _unpickle(content: bytes, path: str) -> dict[bytes, Any]:
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        raise UsageError(f"{path} is no batch of CIFAR: {error}") from error
    if not isinstance(found, dict) or b"data" not in found:
        raise UsageError(f"{path} is no batch of CIFAR: it holds no data")
    return found


def _batches(members: dict[str, bytes], archive: _Archive) -> tuple[Tensor, Tensor]:
    pixels, labels = [], []
    for name, content in members.items():
        found = _unpickle(content, name)
        pixels.append(torch.from_numpy(np.ascontiguousarray(found[b"data"])))
        labels += found[archive.labels]
    return torch.cat(pixels).view(-1, 3, 32, 32), torch.tensor(labels)


def _unpacked(folder: Path, members: dict[str, str]) -> dict[str, bytes]:
    found = {}
    for name, expected in members.items():
        content = (folder / name).read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != expected:
            raise UsageError(
                f"{folder / name} is damaged: md5 {digest}, expected {expected}; unpack it again"
            )
        found[name] = content
    return found


def _packed(path: Path, archive: _Archive) -> dict[str, bytes]:
    content = path.read_bytes()
    digest = sha256(content)
    if digest != archive.sha256:
        raise UsageError(
            f"{path} is damaged: sha256 {digest[:16]}..., expected {archive.sha256[:16]}...; "
            "remove it to download it again"
        )
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
    for base in (folder / name, folder):
        if (base / archive.folder).is_dir():
            return _unpacked(base / archive.folder, archive.train | archive.test)
        if (base / archive.name).is_file():
            return _packed(base / archive.name, archive)
    path = folder / name / archive.name
    if offline:
        raise UsageError(
            f"{name} is not in {folder}: place {path} (sha256 {archive.sha256[:16]}...), or set "
            f"--data-dir or {VARIABLE}, or leave out --offline"
        )
    download([_SITE + archive.name], path)
    return _packed(path, archive)


def load_encoded(folder: Path, part: str) -> tuple[list[bytes], list[int]]:
    """The JPEG files of ``cifar10-jpeg`` and their labels.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: The file is missing or damaged.
    """
    path = folder / "cifar10" / f"{part}.npz"
    if not path.is_file():
        raise UsageError(
            f"{JPEG} is not in {folder}: {path} is missing, and cannot be downloaded; set "
            f"--data-dir or {VARIABLE}, or take other images"
        )
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            encoded, offsets = file["jpeg"].tobytes(), file["offsets"].tolist()
            labels = file["labels"].astype(np.int64).tolist()
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if len(labels) != len(offsets) - 1:
        raise UsageError(f"{path} is damaged: {len(offsets) - 1} images, {len(labels)} labels")
    return [encoded[a:b] for a, b in itertools.pairwise(offsets)], labels


def _decode(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    encoded, labels = load_encoded(folder, part)
    try:
        images = [np.asarray(decode_colors(content)) for content in encoded]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    except ValueError as error:
        raise UsageError(f"{folder / 'cifar10'}: {part}.npz is damaged: {error}") from error
    return pixels, torch.tensor(labels)


def load_cifar(name: str, folder: Path, *, offline: bool = False) -> Images:
    """All images of a data set.

    Args:
        name: ``cifar10``, ``cifar100`` or ``cifar10-jpeg``.
        folder: The data folder. An official archive lies there, or unpacked, or in a folder of its
            name; ``cifar10-jpeg`` is ``cifar10/train.npz`` and ``test.npz``, with the arrays
            ``jpeg`` (all files one behind the other), ``offsets`` and ``labels``.
        offline: Does not download what is missing.

    Raises:
        UsageError: A file is missing, damaged or cannot be downloaded.
    """
    if name == JPEG:
        return Images(*_decode(folder, "train"), *_decode(folder, "test"), classes=CLASSES)
    archive, members = ARCHIVES[name], _members(folder, name, offline)
    parts = ({k: members[k] for k in names} for names in (archive.train, archive.test))
    train, test = (_batches(part, archive) for part in parts)
    return Images(*train, *test, classes=archive.classes)
