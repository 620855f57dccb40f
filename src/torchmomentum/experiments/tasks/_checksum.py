"""A checksum of a user's data: of tensors, and of objects by what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchmomentum.experiments.registry import digest

# what a loader draws its batches from; its workers and their settings change none
_LOADER = ("dataset", "batch_size", "drop_last", "sampler", "batch_sampler", "collate_fn")
_LIBRARIES = ("builtins", "collections", "numpy", "torch")  # their code is known by its name
_PLAIN = (str, bytes, int, float, complex, bool, type(None), range, Path, torch.dtype)


def checksum(*values: Any) -> str:
    """A checksum of values, 16 hexadecimal digits.

    Tensors and arrays count by their contents, functions and classes by their code, loaders by what
    they draw batches from, and other objects by their class and attributes, or by their own
    ``fingerprint()``. What has neither, such as a file or a generator, counts by its type.
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
        elif hasattr(value, "__qualname__"):
            self._code(value)
        elif hasattr(value, "fingerprint"):
            self._word(value.fingerprint())
        else:
            self._object(value)
        return None

    def _code(self, value: Any) -> None:
        known = str(value.__module__).partition(".")[0] in _LIBRARIES
        self._word(value.__qualname__ if known else digest(value))

    def _object(self, value: Any) -> None:
        self._code(type(value))
        if hasattr(value, "dataset") and hasattr(value, "__iter__"):
            self.add([len(value), *(getattr(value, name, None) for name in _LOADER)])
        else:
            self.add(getattr(value, "__dict__", None))
