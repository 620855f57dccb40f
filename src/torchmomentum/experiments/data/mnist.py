"""MNIST from its four original IDX files, packed or not, verified before they are used."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from torchmomentum.experiments.data.damage import damaged, read_file, told
from torchmomentum.experiments.data.download import download
from torchmomentum.experiments.data.folder import AGAIN, verify_sha256
from torchmomentum.experiments.data.mnist_files import FILES, MIRRORS, IdxFile, find, target
from torchmomentum.experiments.errors import UsageError

_UNSIGNED_BYTE = 8  # the IDX format's code for this type
_RANKS = range(1, 4)
_CLASSES = 10


def read_idx(content: bytes, name: str) -> Tensor:
    """Parses an IDX file of unsigned bytes.

    Raises:
        UsageError: It is none, or of another length than its header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise UsageError(
            f"{name} is not an IDX file of unsigned bytes (it begins {content[:4].hex()!r})"
        )
    rank = content[3]
    if rank not in _RANKS:
        raise UsageError(f"{name} should have 1 to 3 dimensions, has {rank}")
    start = 4 + 4 * rank
    if len(content) < start:
        raise UsageError(f"{name} is cut off within its header, at {len(content)} bytes")
    shape = struct.unpack(f">{rank}I", content[4:start])
    count = math.prod(shape)
    if len(content) - start != count:
        raise UsageError(f"{name} should hold {count} bytes of data, has {len(content) - start}")
    if not count:
        raise UsageError(f"{name} holds nothing")
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(shape)


def _read(path: Path, file: IdxFile) -> bytes:
    """The unpacked content of a file, verified."""
    if path.suffix == ".gz":
        with told(path, remedy=AGAIN), gzip.open(path) as packed:
            content = packed.read(file.size + 1)  # however much it unpacks to
        if len(content) > file.size:
            raise damaged(path, f"it unpacks to more than {file.size} bytes", remedy=AGAIN)
    else:
        content = read_file(path, file.size)
    verify_sha256(path, content, file.sha256)
    return content


def _load(folder: Path, file: IdxFile, offline: bool) -> Tensor:
    path = find(folder, file, offline=offline)
    if path is None:
        path = target(folder, file)
        # packed it is smaller
        download([mirror + path.name for mirror in MIRRORS], path, file.packed_sha256, file.size)
    return read_idx(_read(path, file), str(path))


def _pair(folder: Path, part: int, offline: bool) -> tuple[Tensor, Tensor]:
    """Pixels in [0, 1] and labels of the training images, part 0, or the test images, part 1."""
    pictures, classes = FILES[2 * part : 2 * part + 2]
    images, labels = _load(folder, pictures, offline), _load(folder, classes, offline)
    if images.dim() != 3 or labels.shape != images.shape[:1] or labels.amax() >= _CLASSES:
        raise UsageError(
            f"{pictures.name} and {classes.name} are not of the same digits: images "
            f"{tuple(images.shape)}, labels {tuple(labels.shape)} up to {labels.amax()}"
        )
    return images.flatten(1).float() / 255, labels.long()


def pooled(images: Tensor) -> Tensor:
    """Images of 28 x 28 pixels, ``(N, 784)``, as means of 2 x 2: ``(N, 196)``."""
    return torch.nn.functional.avg_pool2d(images.view(-1, 1, 28, 28), 2).flatten(1)


def load_mnist(folder: Path, *, offline: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, test images and labels.

    Args:
        folder: The data folder.
        offline: Does not download what is missing.

    Returns:
        Pixels in [0, 1], ``(60000, 784)``, labels ``(60000,)``, and the same for the 10,000 test
        images.

    Raises:
        UsageError: A file is missing, damaged or cannot be downloaded.
    """
    images, labels = _pair(folder, 0, offline)  # (60000, 784), (60000,)
    return images, labels, *_pair(folder, 1, offline)
