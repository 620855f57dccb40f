"""MNIST's four IDX files: what they hold, where they lie and where they come from. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torchmomentum.experiments.data.folder import missing, verify_size

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FOLDERS = ("mnist", "MNIST/raw", "")  # ours, torchvision's, or the files right there


class IdxFile(NamedTuple):
    """One of the four files.

    Attributes:
        name: Of the unpacked file.
        size: Bytes of the unpacked file.
        sha256: Of the unpacked file: a packed one may have been packed again.
        packed_sha256: Of the packed file on the mirrors.
    """

    name: str
    size: int
    sha256: str
    packed_sha256: str


FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)


def target(folder: Path, file: IdxFile) -> Path:
    """Where a download goes."""
    return folder / "mnist" / f"{file.name}.gz"


def find(folder: Path, file: IdxFile, *, offline: bool) -> Path | None:
    """A file, packed or not; None where it has to be downloaded.

    Raises:
        UsageError: It is missing and ``offline`` forbids to download it, or of a wrong size.
    """
    for place in _FOLDERS:
        packed, plain = folder / place / f"{file.name}.gz", folder / place / file.name
        if packed.is_file():
            return packed
        if plain.is_file():
            verify_size(plain, file.size)
            return plain
    if offline:
        remedy = f"place {target(folder, file)} (sha256 of the unpacked file {file.sha256})"
        raise missing("MNIST", folder, remedy, "leave out --offline")
    return None


def check_mnist(folder: Path, *, offline: bool) -> None:
    """Checks that MNIST's files are there or may be downloaded, without reading them.

    Raises:
        UsageError: What loading them would raise for a missing file, or one of a wrong size.
    """
    for file in FILES:
        find(folder, file, offline=offline)
