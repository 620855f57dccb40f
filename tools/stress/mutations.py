"""Damage to a file's bytes: drawn at random, with a taste for headers, ends and extreme numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_EXTREMES = (
    0,
    1,
    2,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
_WRITTEN = ("0", "-1", "1", "65536", "4294967295", "9" * 19, "9" * 400, "1e9", "nan", "")
_HEADER = 512  # bytes


def _place(content: bytes, drawn: random.Random) -> int:
    """A position: in the header, near the end, or anywhere."""
    near = min(_HEADER, len(content))
    kind = drawn.random()
    if kind < 0.4:
        return drawn.randint(0, near)
    if kind < 0.55:
        return len(content) - drawn.randint(0, near)
    return drawn.randint(0, len(content))


def _length(drawn: random.Random) -> int:
    return drawn.choice((1, 2, 4, 8, 16, 64, 512, 4096))


def _overwrite(content: bytes, start: int, block: bytes) -> bytes:
    return content[:start] + block[: len(content) - start] + content[start + len(block) :]


def _flip(content: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(drawn.choice((1, 1, 2, 8, 64))):
        place = min(_place(content, drawn), len(content) - 1)
        changed[place] ^= 1 << drawn.randrange(8)
    return bytes(changed)


def _cut(content: bytes, drawn: random.Random) -> bytes:
    return content[: _place(content, drawn)]


def _behead(content: bytes, drawn: random.Random) -> bytes:
    return content[_place(content, drawn) :]


def _insert(content: bytes, drawn: random.Random) -> bytes:
    place = _place(content, drawn)
    return content[:place] + drawn.randbytes(_length(drawn)) + content[place:]


def _repeat(content: bytes, drawn: random.Random) -> bytes:
    place, length = _place(content, drawn), _length(drawn)
    return content[: place + length] + content[place:]


def _remove(content: bytes, drawn: random.Random) -> bytes:
    place = _place(content, drawn)
    return content[:place] + content[place + _length(drawn) :]


def _blank(content: bytes, drawn: random.Random) -> bytes:
    block = drawn.choice((b"\0", b"\xff", b" ", b"\n")) * _length(drawn)
    return _overwrite(content, _place(content, drawn), block)


def _exchange(content: bytes, drawn: random.Random) -> bytes:
    a, b = _place(content, drawn), _place(content, drawn)
    return _overwrite(content, a, content[b : b + _length(drawn)])


def _number(content: bytes, drawn: random.Random) -> bytes:
    size, order = drawn.choice((1, 2, 4, 8)), drawn.choice(("little", "big"))
    value = drawn.choice(_EXTREMES) % 2 ** (8 * size)
    return _overwrite(content, _place(content, drawn), value.to_bytes(size, order))


def _digits(content: bytes, drawn: random.Random) -> bytes:
    """Another number where one is written out, as in the headers of tar, SPHERE and NumPy."""
    found = list(re.finditer(rb"\d+", content[: 4 * _HEADER]))
    if not found:
        return _number(content, drawn)
    match, written = drawn.choice(found), drawn.choice(_WRITTEN).encode()
    if drawn.random() < 0.5:  # in the same room
        written = written[: len(match[0])].rjust(len(match[0]), b"0")
    return content[: match.start()] + written + content[match.end() :]


def _noise(content: bytes, drawn: random.Random) -> bytes:
    return drawn.randbytes(drawn.choice((0, 1, 16, 600)))


_KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _cut, _behead, _insert, _repeat, _remove, _blank, _exchange),
    *(_number, _number, _digits, _digits),
)


def mutate(content: bytes, drawn: random.Random) -> bytes:
    """Content with one to three kinds of damage.

    Args:
        content: A whole file.
        drawn: Decides.
    """
    if drawn.random() < 0.01:
        return _noise(content, drawn)
    for _ in range(drawn.choice((1, 1, 1, 2, 3))):
        if content:
            content = drawn.choice(_KINDS)(content, drawn)
    return content
