"""Checksums of what a user made: a recipe holds them, so that other code or data is another run.

A name alone would not tell: a file is edited, a loader gets other data.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import marshal
from collections.abc import Mapping
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from torchmomentum.experiments.registry import Registry, hash_of, is_file

# what a loader draws its batches from; its workers and their settings change none
_LOADER = ("dataset", "batch_size", "drop_last", "sampler", "batch_sampler", "collate_fn")
_LIBRARIES = ("builtins", "collections", "numpy", "torch")  # their code is known by its name
_PLAIN = (str, bytes, int, float, complex, bool, type(None), range, Path, torch.dtype)


def _code(entry: Any) -> bytes:
    """The compiled code of a function, or of a class's functions: where there is no file."""
    code = getattr(entry, "__code__", None)
    if code is not None:
        return marshal.dumps(code)
    functions = vars(entry).values() if isinstance(entry, type) else ()
    return b"".join(marshal.dumps(f.__code__) for f in functions if hasattr(f, "__code__"))


def digest_of(name: str, registry: Registry) -> str | None:
    """:func:`digest` of what a name stands for; of ``file.py:Name`` that of the file."""
    if is_file(name):
        return hash_of(Path(name.rpartition(":")[0]).expanduser().read_bytes())
    return digest(registry.find(name))


def digest(entry: Any) -> str | None:
    """The checksum of what defines an object of a user's: what a recipe adds to its name.

    The object's own ``fingerprint()`` if it has one, else that of the file that defines it; of a
    function or class typed in, its code. None for an object of this package: a result of ours does
    not depend on where it was computed.
    """
    if hasattr(entry, "fingerprint") and not isinstance(entry, type):
        return str(entry.fingerprint())
    if isinstance(entry, functools.partial):
        parts = (digest(entry.func), entry.args, sorted(entry.keywords.items()))
        return None if parts[0] is None else hash_of(repr(parts).encode())
    named = entry if hasattr(entry, "__qualname__") else type(entry)
    if named.__module__.partition(".")[0] == "torchmomentum":
        return None
    try:
        return hash_of(Path(inspect.getsourcefile(named) or "").read_bytes())
    except (OSError, TypeError):
        return hash_of(_code(named))


def checksum(*values: Any) -> str:
    """A checksum of values, 16 hexadecimal digits.

    Tensors and arrays count by their contents, functions by their code and what they have bound,
    classes by their code, loaders by what they draw batches from, and other objects by their class
    and attributes, or by their own ``fingerprint()``. What has neither, such as an open file or a
    generator, counts by its type.
    """
    found = _Checksum()
    found.add(values)
    return found.hash.hexdigest()[:16]


class _Checksum:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        # by id, kept alive so that no other object gets one of theirs
        self._met: dict[int, tuple[int, Any]] = {}

    def _word(self, word: object) -> None:
        self.hash.update(f"{word}\0".encode())

    def add(self, value: Any) -> None:
        """Adds a value and all that it holds."""
        if isinstance(value, _PLAIN):
            return self._word(f"{type(value).__name__} {value!r}")
        if id(value) in self._met:
            return self._word(f"met {self._met[id(value)][0]}")
        self._met[id(value)] = len(self._met), value
        self._word(type(value).__name__)
        if isinstance(value, Tensor):
            self._word(f"{value.dtype} {tuple(value.shape)}")
            flat = value.detach().resolve_conj().contiguous().cpu().view(-1)
            self.hash.update(flat.view(torch.uint8).numpy().tobytes())
        elif hasattr(value, "__array_interface__"):
            self._word(f"{value.dtype} {value.shape}")
            self.hash.update(value.tobytes())
        elif isinstance(value, Mapping):
            self.add([*value.items()])
        elif isinstance(value, (list, tuple, set, frozenset)):
            parts = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            self._word(len(parts))
            for part in parts:
                self.add(part)
        elif isinstance(value, functools.partial):
            self.add([value.func, value.args, value.keywords])
        elif isinstance(value, MethodType):
            self.add([value.__func__, value.__self__])
        elif isinstance(value, ModuleType):
            self._word(value.__name__)
        elif hasattr(value, "__qualname__"):
            self._code(value)
        elif hasattr(value, "fingerprint"):
            self._word(value.fingerprint())
        else:
            self._object(value)
        return None

    def _code(self, value: Any) -> None:
        self._word(value.__qualname__)
        if str(value.__module__).partition(".")[0] not in _LIBRARIES:
            self._word(digest(value))
        bound = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        self.add([bound, getattr(value, "__defaults__", None)])

    def _object(self, value: Any) -> None:
        self._code(type(value))
        if hasattr(value, "dataset") and hasattr(value, "__iter__"):
            self.add([len(value), *(getattr(value, name, None) for name in _LOADER)])
        else:
            self.add(getattr(value, "__dict__", None))
