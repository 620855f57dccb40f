"""How time is cut into chunks whose pre-activations fit the cache."""

from __future__ import annotations

_CACHED = 2**20  # floats of a chunk that stay in the cache
_ROWS = 1024  # least rows of a chunk: fewer make the products with the weights slow


def most_chunks(time: int, batch: int, width: int) -> int:
    """How many chunks there are at the most, each of them small enough for the cache."""
    longest = max(1, max(_CACHED // width, _ROWS) // max(batch, 1))
    return -(-time // longest)


def chunks(time: int, batch: int, width: int) -> list[slice]:
    """The chunks, all about as long."""
    most = most_chunks(time, batch, width)
    if most == 1:
        return [slice(0, time)]
    steps = -(-time // most)
    return [slice(t, min(t + steps, time)) for t in range(0, time, steps)]
