"""How a recurrence is cut into programs of Triton."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from torchmomentum.ops.cells import find

_WEIGHTS_THAT_STAY = 128 * 1024  # bytes of them that a program keeps, of an SM's 228 KB
_LEAST = 16  # a product's tile has at least so many rows and columns


class Plan(NamedTuple):
    """How a recurrence is cut into programs, and what they keep."""

    block_b: int
    block_n: int
    block_k: int
    warps: int
    stationary: bool

    @property
    def single(self) -> bool:
        """Whether one tile holds all units, so that programs never meet."""
        return self.stationary and self.block_n == self.block_k


def _at_least(size: int) -> int:
    return max(_LEAST, 1 << (size - 1).bit_length())


def plan(cell: str, batch: int, hidden: int, itemsize: int) -> Plan:
    """The cut for a shape: all units in one program where their weights fit, else as few as fit."""
    gates, whole = find(cell).gates, _at_least(hidden)
    for units in (whole, 64, 32, 16):
        if units <= whole and gates * whole * units * itemsize <= _WEIGHTS_THAT_STAY:
            return Plan(_LEAST, units, whole, 4 if units * gates <= 128 else 8, stationary=True)
    rows = min(64, _at_least(batch))
    return Plan(rows, 32, 64 if itemsize == 2 else 32, 8, stationary=False)


_tried: list[Plan] = []


@contextlib.contextmanager
def planned(cut: Plan) -> Iterator[None]:
    """Takes this cut instead of :func:`plan`'s, in all threads: a backward has one of its own."""
    _tried.append(cut)
    try:
        yield
    finally:
        _tried.pop()


def chosen(cell: str, batch: int, hidden: int, itemsize: int) -> Plan:
    """The cut that is being tried, or else :func:`plan`'s."""
    return _tried[-1] if _tried else plan(cell, batch, hidden, itemsize)
