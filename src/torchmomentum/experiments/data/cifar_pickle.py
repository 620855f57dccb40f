"""A batch of CIFAR from its pickle, read as data: nothing is imported or called.

A pickle is a program, and even one that may call nothing can ask for any memory or crash the
interpreter. So its few instructions are followed here, over lists, dictionaries and bytes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES"),
    *("BINBYTES8", "SHORT_BINUNICODE", "BINUNICODE"),
}
_STRINGS = {"SHORT_BINSTRING", "BINSTRING"}  # of Python 2, which has no other bytes
_NOTHING = {"PROTO", "FRAME", "STOP"}
_MOST = 1_000_000  # instructions; an official batch has a third of them
# all that an array needs; numpy has moved its core since the batches were written
_NAMES = {
    *("numpy ndarray", "numpy dtype"),
    *("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"),
}


class _Name(NamedTuple):
    """A name that the pickle refers to."""

    name: str


class _Made:
    """A type or an array that is being made: what made it, and its state."""

    def __init__(self, maker: _Name, arguments: tuple[Any, ...]) -> None:
        self.maker, self.arguments = maker.name.partition(" ")[2], arguments
        self.state: tuple[Any, ...] = ()

    def array(self) -> np.ndarray:
        """The array, of unsigned bytes.

        Raises:
            ValueError: It is none.
        """
        _, (rows, columns), kind, by_columns, content = self.state
        code = kind.arguments[0] if isinstance(kind, _Made) and kind.maker == "dtype" else None
        if self.maker != "_reconstruct" or code not in ("u1", b"u1"):
            raise ValueError("an array is not of unsigned bytes")
        if not (isinstance(rows, int) and isinstance(columns, int) and isinstance(content, bytes)):
            raise ValueError("an array has no shape or no bytes")
        found: np.ndarray = np.frombuffer(content, np.uint8)
        return found.reshape(rows, columns, order="F" if by_columns else "C")


class _Reader:
    """Follows a pickle's instructions."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        """What the pickle makes."""
        for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
            if count > _MOST:
                raise ValueError(f"it has more than {_MOST} instructions")
            self._follow(instruction.name, argument)
        return self._stack.pop()

    def _follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _STRINGS:
            self._stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _NOTHING:
            raise ValueError(f"it has the instruction {name}")

    def _pop(self, count: int | None = None) -> list[Any]:
        """The last values, so many or those since the last mark."""
        start = self._marks.pop() if count is None else len(self._stack) - count
        if start < 0:
            raise ValueError("it takes a value that is not there")
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def _make(self, kind: Callable[[], Any]) -> None:
        self._stack.append(kind())

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _remember(self, number: int | None) -> None:
        self._memo[len(self._memo) if number is None else number] = self._stack[-1]

    def _recall(self, number: int) -> None:
        self._stack.append(self._memo[number])

    def _tuple(self, count: int | None) -> None:
        self._stack.append(tuple(self._pop(count)))

    def _extend(self, count: int | None) -> None:
        values = self._pop(count)
        self._target(list).extend(values)

    def _update(self, count: int | None) -> None:
        values = self._pop(count)
        keys = values[::2]
        if len(values) % 2 or not all(isinstance(key, (bytes, str)) for key in keys):
            raise ValueError("a key is no name")
        self._target(dict).update(zip(keys, values[1::2], strict=True))

    def _target(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"it takes another value for a {kind.__name__}")
        return self._stack[-1]

    def _refer(self, name: str | None) -> None:
        if name is None:
            module, attribute = self._pop(2)
            name = f"{module} {attribute}"
        if name not in _NAMES:
            raise ValueError(f"it asks for {name.replace(' ', '.')}")
        self._stack.append(_Name(name))

    def _call(self) -> None:
        maker, arguments = self._pop(2)
        if not isinstance(maker, _Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls something else than a name")
        self._stack.append(_Made(maker, arguments))

    def _build(self) -> None:
        (state,) = self._pop(1)
        made: _Made = self._target(_Made)
        made.state = state


_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": lambda reader, _: reader._mark(),
    "EMPTY_DICT": lambda reader, _: reader._make(dict),
    "EMPTY_LIST": lambda reader, _: reader._make(list),
    "EMPTY_TUPLE": lambda reader, _: reader._make(tuple),
    "TUPLE": lambda reader, _: reader._tuple(None),
    "TUPLE1": lambda reader, _: reader._tuple(1),
    "TUPLE2": lambda reader, _: reader._tuple(2),
    "TUPLE3": lambda reader, _: reader._tuple(3),
    "APPEND": lambda reader, _: reader._extend(1),
    "APPENDS": lambda reader, _: reader._extend(None),
    "SETITEM": lambda reader, _: reader._update(2),
    "SETITEMS": lambda reader, _: reader._update(None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader._remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Reader._recall),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Reader._refer),
    "REDUCE": lambda reader, _: reader._call(),
    "BUILD": lambda reader, _: reader._build(),
}


def read_pickle(content: bytes) -> Any:
    """What a pickle makes: plain values, and arrays of unsigned bytes where a dictionary has them.

    Args:
        content: The pickle, as Python 2 or protocols 2 to 4 of Python 3 write it.

    Raises:
        ValueError: It needs more than this.
        IndexError: It takes what is not there, likewise other errors of a wrong kind of value.
    """
    found = _Reader().read(content)
    if isinstance(found, dict):
        return {k: v.array() if isinstance(v, _Made) else v for k, v in found.items()}
    return found
