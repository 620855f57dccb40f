"""CIFAR's files: what the official archives hold and where they lie. No torch.

``cifar10-jpeg`` is CIFAR-10 encoded again as JPEG by a third party: its pixels differ slightly.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torchmomentum.experiments.data.folder import missing, verify_size
from torchmomentum.experiments.errors import UsageError

SITE = "https://www.cs.toronto.edu/~kriz/"


class Archive(NamedTuple):
    """An official archive: its checksums and what is in it.

    Attributes:
        name: Of the file.
        size: Bytes of the file.
        unpacked: Bytes that it has unpacked, at most.
        sha256: Of the file.
        folder: In the archive.
        labels: Key of the labels in a batch.
        classes: How many.
        train: Batches to train on, each with its md5.
        test: The batch to test on, with its md5.
    """

    name: str
    size: int
    unpacked: int
    sha256: str
    folder: str
    labels: bytes
    classes: int
    train: dict[str, str]
    test: dict[str, str]


ARCHIVES = {
    "cifar10": Archive(
        name="cifar-10-python.tar.gz",
        size=170_498_071,
        unpacked=200_000_000,
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
    "cifar100": Archive(
        name="cifar-100-python.tar.gz",
        size=169_001_437,
        unpacked=200_000_000,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        folder="cifar-100-python",
        labels=b"fine_labels",
        classes=100,
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    ),
}
JPEG, JPEG_CLASSES = "cifar10-jpeg", 10
NAMES = (*ARCHIVES, JPEG)


def target(folder: Path, name: str) -> Path:
    """Where a download of an archive goes."""
    return folder / name / ARCHIVES[name].name


def find(folder: Path, name: str, *, offline: bool) -> Path | None:
    """The folder of an unpacked archive, or the archive; None where it has to be downloaded.

    Raises:
        UsageError: It is missing and ``offline`` forbids to download it, incomplete, or of a
            wrong size.
    """
    archive = ARCHIVES[name]
    for place in (folder / name, folder):
        unpacked, packed = place / archive.folder, place / archive.name
        if unpacked.is_dir():
            for member in (*archive.train, *archive.test):
                if not (unpacked / member).is_file():
                    raise UsageError(f"{unpacked / member} is missing; unpack {archive.name} again")
            return unpacked
        if packed.is_file():
            verify_size(packed, archive.size)
            return packed
    if offline:
        remedy = f"place {target(folder, name)} (sha256 {archive.sha256})"
        raise missing(name, folder, remedy, "leave out --offline")
    return None


def find_jpeg(folder: Path, part: str) -> Path:
    """The file of ``cifar10-jpeg``.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: It is missing.
    """
    path = folder / "cifar10" / f"{part}.npz"
    if not path.is_file():
        remedy = f"place {path} (it cannot be downloaded)"
        raise missing(JPEG, folder, remedy, "take other images")
    return path


def check_cifar(name: str, folder: Path, *, offline: bool) -> None:
    """Checks that a data set's files are there or may be downloaded, without reading them.

    Raises:
        UsageError: What loading them would raise for a missing file, or one of a wrong size.
    """
    if name == JPEG:
        for part in ("train", "test"):
            find_jpeg(folder, part)
    else:
        find(folder, name, offline=offline)
