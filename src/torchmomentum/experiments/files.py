"""Atomic file writes: a file is either whole or not there."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torchmomentum.experiments.errors import UsageError

_MARK = ".tmp-"  # of a temporary file's name; its writer's machine and process follow
_WRITER = re.compile(rf"{re.escape(_MARK)}(.+)-(\d+)-[^-]+$")


def _left_by_the_dead(temporary: Path) -> bool:
    """Whether the process of this machine that wrote a temporary file is gone."""
    found = _WRITER.search(temporary.name)
    if os.name != "posix" or found is None or found[1] != socket.gethostname():
        return False
    writer = int(found[2])
    try:
        os.kill(writer, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return writer == os.getpid()  # a container's processes have the same numbers each time


def remove_temporaries(folder: Path, of: str | None = None) -> None:
    """Removes what killed processes left of a file, or of all, where nobody else writes now."""
    name = "*" if of is None else glob.escape(of)
    for path in folder.glob(f".{name}{_MARK}*"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``path``, removed in the end where it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}{_MARK}*"):
        if _left_by_the_dead(left):
            left.unlink(missing_ok=True)
    prefix = f".{path.name}{_MARK}{socket.gethostname()}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, syncs it and renames it into place.

    Raises:
        OSError: It cannot be written; ``path`` is as it was.
    """
    try:
        with _beside(path) as temporary:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        # the file that the user knows, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    with contextlib.suppress(OSError):  # a folder cannot be synced on every system
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes, all of them or nothing."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_with(path, write)


def write_text(path: Path, text: str) -> None:
    """Writes text, all of it or nothing."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, all of it or nothing."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        UsageError: The file holds something else.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}; remove it or its folder") from error
