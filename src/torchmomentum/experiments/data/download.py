"""Downloads, verified before they get their name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from torchmomentum.experiments.data.damage import one_line
from torchmomentum.experiments.data.folder import VARIABLE
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import remove_temporaries, write_with

_TIMEOUT = 30  # seconds without an answer
_BLOCK = 1 << 16  # bytes; a server may send them packed, a thousand times smaller


class _Limited:
    """A file that takes so many bytes: a server may send without an end."""

    def __init__(self, file: IO[bytes], at_most: int) -> None:
        self._file, self._at_most = file, at_most
        self.flush = file.flush

    def write(self, block: bytes) -> None:
        if self._file.tell() + len(block) > self._at_most:
            raise ValueError(f"it is larger than {self._at_most} bytes")
        self._file.write(block)


def _locked(folder: Path) -> int | None:
    """Waits until no other process has the folder's lock; None where it cannot be locked."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a system of files that knows no locks
        os.close(handle)
        return None
    return handle


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[bool]:
    """Lets one process download to a folder and the others wait; False where it cannot be locked.

    What a process that was killed has left of the target is removed.
    """
    handle = _locked(target.parent)
    try:
        if handle is not None:
            remove_temporaries(target.parent, target.name)
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _fetch(url: str, sha256: str, at_most: int, temporary: Path) -> None:
    """Receives a file, and compares its checksum."""
    import pooch

    fetch = pooch.HTTPDownloader(timeout=_TIMEOUT, chunk_size=_BLOCK)
    with temporary.open("wb") as file:
        fetch(url, _Limited(file, at_most), None)
    found = pooch.file_hash(str(temporary))
    if found != sha256:
        raise ValueError(f"its sha256 is {found}")


def download(mirrors: Sequence[str], target: Path, sha256: str, at_most: int) -> None:
    """Downloads a file from the first mirror that has it as it should be.

    The file is whole or not there: it is received under another name in the same folder, and
    renamed once its checksum is right. Of several processes that ask for it one downloads.

    Args:
        mirrors: Addresses, tried in this order.
        target: The file to write.
        sha256: Its checksum, in hexadecimal.
        at_most: Bytes that it may have.

    Raises:
        UsageError: No mirror gave the file, or pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise UsageError("pooch is missing: pip install 'torchmomentum[experiments]'") from error
    failures: list[str] = []
    with contextlib.suppress(OSError):  # which the first attempt tells
        target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target) as alone:
        if alone and target.is_file() and pooch.file_hash(str(target)) == sha256:
            return
        for url in mirrors:
            try:
                write_with(target, partial(_fetch, url, sha256, at_most))
            except Exception as error:  # noqa: BLE001 - a server may answer anything
                failures.append(f"{url}: {one_line(error)}")
            else:
                return
    raise UsageError(
        f"could not download {target.name}: {'; '.join(failures)}. Place {target} (sha256 "
        f"{sha256}) yourself, or set --data-dir or {VARIABLE}"
    )
