"""MNIST from its four original IDX files, packed or not, verified before they are used."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from torchmomentum.experiments.data.folder import VARIABLE, download, sha256
from torchmomentum.experiments.errors import UsageError

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FOLDERS = ("mnist", "MNIST/raw", "")  # ours, torchvision's, or the files right there
# sha256 of the unpacked files: a packed one may have been packed again
_CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_UNSIGNED_BYTE = 8  # the IDX format's code for this type


def read_idx(content: bytes, name: str) -> Tensor:
    """Parses an IDX file of unsigned bytes.

    Raises:
        UsageError: It is none, or of another length than its header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise UsageError(
            f"{name} is no IDX file of unsigned bytes (it begins {content[:4].hex()!r})"
        )
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise UsageError(f"{name} is cut off within its header, at {len(content)} bytes")
    shape = struct.unpack(f">{rank}I", content[4:start])
    count = 1
    for size in shape:
        count *= size
    if len(content) - start != count:
        raise UsageError(f"{name} should hold {count} bytes of data, has {len(content) - start}")
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(shape)


def _read(path: Path, name: str) -> bytes:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path} cannot be read: {error}; remove it to download it again"
        ) from error
    if sha256(content) != _CHECKSUMS[name]:
        raise UsageError(
            f"{path} is damaged: sha256 {sha256(content)[:16]}..., expected "
            f"{_CHECKSUMS[name][:16]}...; remove it to download it again"
        )
    return content


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / sub / (name + end) for sub in _FOLDERS for end in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def _load(folder: Path, name: str, offline: bool) -> Tensor:
    path = _find(folder, name)
    if path is None:
        wanted = folder / "mnist" / f"{name}.gz"
        if offline:
            raise UsageError(
                f"MNIST is not in {folder}: place {wanted} (sha256 of the unpacked file "
                f"{_CHECKSUMS[name][:16]}...), or set --data-dir or {VARIABLE}, or leave out "
                "--offline"
            )
        download([mirror + wanted.name for mirror in _MIRRORS], wanted)
        path = wanted
    return read_idx(_read(path, name), name)


def load_mnist(folder: Path, *, offline: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, test images and labels.

    Args:
        folder: The data folder.
        offline: Does not download what is missing.

    Returns:
        Pixels in [0, 1], ``(60000, 784)``, labels ``(60000,)``, and the same for the 10,000 of the
        test.

    Raises:
        UsageError: A file is missing, damaged or cannot be downloaded.
    """
    images, labels, test_images, test_labels = (_load(folder, name, offline) for name in _CHECKSUMS)
    return (
        images.flatten(1).float() / 255,
        labels.long(),
        test_images.flatten(1).float() / 255,
        test_labels.long(),
    )
