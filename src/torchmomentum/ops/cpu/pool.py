"""Memory for what the CPU kernels make for this package itself, used again from step to step.

An array of many megabytes comes fresh from the system at each training step otherwise, and its
first touch, page by page, can cost as much as the arithmetic.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_LEAST = 2**20  # bytes from which a block is kept
_PAGE = 2**21  # blocks are multiples of a large page


class _Pool:
    """Blocks that are free, no more of them than were once in use together."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a block may come back in the midst of anything
        self._free: list[mmap.mmap] = []  # the longest free first
        self._used = self._most = 0
        self.changes: list[tuple[int, int]] | None = None  # while they are recorded

    def _note(self, change: int) -> None:
        if self.changes is not None:
            self.changes.append((time.time_ns(), change))

    def take(self, size: int) -> mmap.mmap:
        """A free block of about this size, or a new one."""
        self._note(size)
        size = -(-size // _PAGE) * _PAGE
        with self._lock:
            fitting = [block for block in self._free if size <= len(block) <= 1.25 * size]
            block = min(fitting, key=len) if fitting else _new_block(size)
            if fitting:
                self._free.remove(block)
            self._used += len(block)
            self._most = max(self._most, self._used)
        return block

    def give_back(self, block: mmap.mmap, size: int) -> None:
        """Takes back a block of which so many bytes were used."""
        self._note(-size)
        with self._lock:
            self._used -= len(block)
            self._free.append(block)
            while sum(map(len, self._free)) + self._used > self._most:
                self._free.pop(0)

    def clear(self) -> None:
        with self._lock:
            self._free.clear()
            self._most = self._used

    def held(self) -> int:
        with self._lock:
            return sum(map(len, self._free))


def _new_block(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return mmap.mmap(-1, size)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without large pages
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


_POOL = _Pool()


def _renew_lock() -> None:
    _POOL._lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # another thread may have held it in that moment
    os.register_at_fork(after_in_child=_renew_lock)


def empty(like: Tensor, *shape: int) -> Tensor:
    """A new array of a CPU tensor's type for internal use, in a block of the pool where large."""
    count = math.prod(shape)
    size = count * like.element_size()
    if size < _LEAST:
        return like.new_empty(shape)
    block = _POOL.take(size)
    view = (ctypes.c_char * size).from_buffer(block)
    weakref.finalize(view, _POOL.give_back, block, size).atexit = False
    new = torch.frombuffer(view, dtype=like.dtype).view(shape)
    fill = getattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    if fill and torch.are_deterministic_algorithms_enabled():
        new.fill_(math.nan)  # as torch.empty does
    return new


def new(like: Tensor, shape: Sequence[int], internal: bool) -> Tensor:
    """A new array: as :func:`empty` makes it for internal use, an ordinary one for a user's."""
    return empty(like, *shape) if internal else like.new_empty(tuple(shape))


@contextlib.contextmanager
def memory_changes() -> Iterator[list[tuple[int, int]]]:
    """Records what the CPU kernels take for internal use, and return: PyTorch does not see it.

    Yields:
        A list that grows by ``(nanoseconds since the epoch, bytes)``, negative where returned.
    """
    changes: list[tuple[int, int]] = []
    _POOL.changes = changes
    try:
        yield changes
    finally:
        _POOL.changes = None


def empty_cache() -> int:
    """Gives the memory back to the system that the CPU kernels keep for their next step.

    Returns:
        How many bytes that were.
    """
    held = _POOL.held()
    _POOL.clear()
    return held
