"""Which files of the kernels' cache may be loaded: what is loaded runs as this user.

A kernel is trusted if it is a file of this user or of root that nobody else may write, in a folder
of which the same is true, and its checksum is the one that was recorded beside it once it was
built and had been loaded. What holds when it is checked still holds when the linker opens it a
moment later: whoever could exchange the file in between is this user, or root.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from pathlib import Path

_ROOT = 0
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A file or folder that is not to be trusted; the message says why."""


def _check_owner(path: Path, about: os.stat_result) -> None:
    if about.st_uid not in (os.geteuid(), _ROOT):
        raise UntrustedError(f"{path} belongs to another user")


def _check_alone(path: Path, about: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):  # Windows, where a user's folders are the user's
        return
    _check_owner(path, about)
    if about.st_mode & _WRITABLE:
        raise UntrustedError(f"{path} may be written by others")


def check_folder(folder: Path) -> Path:
    """Checks that only this user can put files in a folder, or another folder in its place.

    Returns:
        The folder without symbolic links, which others might lead elsewhere.

    Raises:
        UntrustedError: Others can.
        OSError: It cannot be looked at.
    """
    folder = folder.resolve()
    _check_alone(folder, folder.stat())
    for inner, above in itertools.pairwise((folder, *folder.parents)):
        mode = above.stat().st_mode
        if not hasattr(os, "geteuid") or not mode & stat.S_IWOTH:
            continue
        # in a sticky folder, such as /tmp, others cannot move what is not theirs
        if not mode & stat.S_ISVTX:
            raise UntrustedError(f"{above} may be written by others")
        _check_owner(inner, inner.stat())
    return folder


def record_of(kernels: Path) -> Path:
    """Where the checksum of some kernels is recorded."""
    return kernels.with_name(f"{kernels.name}.sha256")


def checksum_line(kernels: Path) -> str:
    """What is recorded of some kernels, in the form that ``sha256sum --check`` reads."""
    return f"{hashlib.sha256(kernels.read_bytes()).hexdigest()}  {kernels.name}\n"


def check_kernels(kernels: Path) -> None:
    """Checks that kernels are this user's, and as they were built.

    Raises:
        UntrustedError: They are not.
        OSError: They, or what was recorded of them, cannot be read.
    """
    for path in (kernels, record_of(kernels)):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise UntrustedError(f"{path} is no regular file")
        _check_alone(path, about)
    if record_of(kernels).read_bytes() != checksum_line(kernels).encode():
        raise UntrustedError(f"{kernels} is not as it was built")
