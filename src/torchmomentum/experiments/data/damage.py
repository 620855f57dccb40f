"""Damaged and hostile files: what is wrong in one line, and bounded reading. No torch."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchmomentum.experiments.errors import UsageError

_SHOWN = 300  # characters of an error, which may quote the file at any length
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for any memory to unpack


def one_line(words: object) -> str:
    """Words as they may be printed: without line ends and control characters, and not too many."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def damaged(
    name: object, reason: object, fault: str = "is damaged", remedy: str = ""
) -> UsageError:
    """The error for a file's content, to raise.

    Args:
        name: The file.
        reason: What is wrong with it.
        fault: What that means.
        remedy: What the user can do.
    """
    return UsageError(f"{name} {fault}: {one_line(reason)}{remedy and '; '}{remedy}")


@contextmanager
def told(name: object, fault: str = "is damaged", remedy: str = "") -> Iterator[None]:
    """In it, whatever is raised over a file's content is told in one line.

    Args:
        name: The file.
        fault: What an error means.
        remedy: What the user can do.

    Raises:
        UsageError: Something was raised.
    """
    try:
        yield
    except (UsageError, MemoryError):  # that memory is short says nothing about the file
        raise
    except OSError as error:
        if error.errno is None:  # gzip's, say: of the content
            raise damaged(name, error, fault, remedy) from error
        raise UsageError(f"{name} cannot be read: {one_line(error.strerror)}") from error
    except Exception as error:  # no list of what parsers raise over hostile content is complete
        reason = str(error) or type(error).__name__
        raise damaged(name, reason, fault, remedy) from error


class WholeFile(io.BufferedReader):
    """A file to read, whose ``read`` makes room for no more than is there.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that are left."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def read_file(path: Path, at_most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: The file.
        at_most: Bytes that it may have.

    Raises:
        UsageError: It has more, or is another kind of file, or cannot be read.
    """
    if not path.is_file():  # a pipe would be waited for
        raise UsageError(f"{path} is no regular file")
    with told(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise damaged(path, f"{size} bytes, expected at most {at_most}")
        return file.read(size)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, at_most: int) -> bytes:
    """The content of a member of a zip file.

    Args:
        archive: The zip file.
        member: The member.
        at_most: Bytes that it may unpack to.

    Raises:
        ValueError: It says to unpack to more, or is packed in an unusual way.
        zipfile.BadZipFile: It does not unpack to what it says, or others of zipfile's errors.
    """
    if member.compress_type not in _METHODS:
        raise ValueError(f"{member.filename} is packed by method {member.compress_type}")
    if member.file_size > at_most:
        raise ValueError(f"{member.filename} has {member.file_size} bytes, at most {at_most}")
    content = archive.read(member)
    if len(content) != member.file_size:
        raise ValueError(f"{member.filename} is cut off at {len(content)} bytes")
    return content
