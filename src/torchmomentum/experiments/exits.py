"""What a command's exit code says."""

from __future__ import annotations

import errno

WRONG_USE = 2
NO_RESOURCES = 71
CANNOT_WRITE = 73
DISK = 74
INTERRUPTED = 130
TERMINATED = 143

MEANINGS = {
    0: "done",
    1: "a mistake in this program, with its traceback",
    WRONG_USE: "wrong use, missing data, or a training that diverged",
    NO_RESOURCES: "not enough memory, or a process of ours was killed",
    CANNOT_WRITE: "a folder cannot be written to",
    DISK: "the disk is full or fails",
    INTERRUPTED: "interrupted by Ctrl-C",
    TERMINATED: "ended by SIGTERM",
}

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_OF_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}


def of_error(error: OSError) -> tuple[int, str]:
    """An error's exit code, and what to do about it."""
    if error.errno in _OF_THE_DISK:
        return DISK, "make room, and give --resume to go on"
    if error.errno in _OF_RIGHTS:
        return CANNOT_WRITE, "give another --out, or the right to write there"
    return WRONG_USE, ""
