"""Where data lies, and what to say where it is missing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from torchmomentum.experiments.errors import UsageError

VARIABLE = "TORCHMOMENTUM_DATA"
AGAIN = "remove it to download it again"
_SHOWN = 16  # digits of a checksum in a message


def data_folder(given: str | None) -> Path:
    """The data folder: ``--data-dir``, else ``TORCHMOMENTUM_DATA``, else a cache of this user."""
    if given:
        return Path(given).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "torchmomentum"


def sha256(content: bytes) -> str:
    """The checksum of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def missing(name: str, folder: Path, remedy: str, otherwise: str) -> UsageError:
    """The error for a data set whose files are not there, to raise.

    Args:
        name: What the data set is called.
        folder: The data folder.
        remedy: Which files to place where.
        otherwise: What else the user can do.
    """
    return UsageError(
        f"{name} is not in {folder}: {remedy}, or set --data-dir or {VARIABLE}, or {otherwise}"
    )


def verify_size(path: Path, expected: int) -> None:
    """Checks a file's size, without reading it.

    Raises:
        UsageError: The size is another one.
    """
    size = path.stat().st_size
    if size != expected:
        raise UsageError(f"{path} is damaged: {size} bytes, expected {expected}; {AGAIN}")


def verify_sha256(path: Path, content: bytes, expected: str) -> None:
    """Checks the content of a file against its checksum.

    Raises:
        UsageError: The checksum is another one.
    """
    found = sha256(content)
    if found != expected:
        raise UsageError(
            f"{path} is damaged: sha256 {found[:_SHOWN]}..., expected {expected[:_SHOWN]}...; "
            f"{AGAIN}"
        )
