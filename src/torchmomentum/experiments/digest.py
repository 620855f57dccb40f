"""Checksums of what a user made: a recipe holds them, so that other code or data is another run.

A name alone would not tell: a file is edited, a loader gets other data, a class is made anew. Code
counts by the file that has it, and by the values that it refers to; objects count by what pickle
would keep of them.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from pickle import PicklingError
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from torchmomentum.experiments.registry import Registry, from_file, is_file

# attributes of loaders and samplers that change no batch, or that a run sets anew
_PASSED_OVER = {
    *("generator", "num_workers", "prefetch_factor", "pin_memory", "pin_memory_device", "timeout"),
    *("persistent_workers", "in_order", "_iterator", "_DataLoader__multiprocessing_context"),
    *("_DataLoader__initialized", "_IterableDataset_len_called"),
}
# of classes: what Python writes there, other in each version
_WRITTEN = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "_abc_impl"),
    *("__static_attributes__", "__annotations__", "__annotate_func__", "__annotations_cache__"),
}
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...), Path, torch.dtype)
_NOT_KEPT = (TypeError, ValueError, AttributeError, RuntimeError, PicklingError)
_found: ContextVar[dict[tuple[str, str], str | None] | None] = ContextVar("found", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """For a while, asks for the checksum of each name once: the recipes of a study share it."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def digest_of(name: str, registry: Registry) -> str | None:
    """The checksum of what a name stands for; None of what is ours: its version tells.

    Of ``FILE.py:NAME`` it is that of the file too.
    """
    known = _found.get()
    if known is None or (registry.kind, name) not in known:
        found = _digest(name, registry)
        if known is None:
            return found
        known[registry.kind, name] = found
    return known[registry.kind, name]


def _digest(name: str, registry: Registry) -> str | None:
    if is_file(name):
        file = Path(name.rpartition(":")[0]).expanduser()
        return checksum(file.read_bytes(), from_file(name, registry.kind))
    return None if registry.is_ours(name) else checksum(registry.find(name))


def checksum(*values: Any) -> str:
    """A checksum of values, 16 hexadecimal digits, the same in every process.

    Tensors and arrays count by their contents. Functions and classes count by the file that defines
    them, or by their code where there is none, and by the values that they refer to: what they have
    bound, defaults, attributes, globals, modules of the user's own. Code of installed packages
    counts by its name. Other objects count by their own ``fingerprint()``, or by what pickle would
    keep; what has neither, such as an open file, counts by its type.
    """
    found = _Checksum()
    found.add([values])
    return found.hash.hexdigest()[:16]


class _Checksum:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        # by id, kept alive so that no other object gets one of theirs
        self._met: dict[int, tuple[int, Any]] = {}
        self._files: dict[str, str] = {}

    def _word(self, word: object) -> None:
        self.hash.update(f"{word}\0".encode(errors="surrogatepass"))

    def add(self, todo: list[Any]) -> None:
        """Adds values and all that they hold, the last of the list first."""
        while todo:
            value = todo.pop()
            if isinstance(value, _PLAIN):
                self._word(f"{type(value).__name__} {value!r}")
            elif id(value) in self._met:
                self._word(f"met {self._met[id(value)][0]}")
            else:
                self._met[id(value)] = len(self._met), value
                self._word(type(value).__qualname__)
                parts = self._parts(value)
                self._word(len(parts))
                todo.extend(reversed(parts))

    def _parts(self, value: Any) -> list[Any]:
        """Adds what a value is itself, and returns what it holds."""
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if type(value) in (list, tuple):
            return [*value]
        if type(value) is dict:
            return [part for pair in value.items() for part in pair]
        if isinstance(value, (set, frozenset)):
            return sorted(checksum(part) for part in value)  # whose order is another each time
        if isinstance(value, (FunctionType, type, ModuleType)):
            return self._code(value)
        for kind, names in _HOLDERS:
            if isinstance(value, kind):
                return [getattr(value, name, None) for name in names]
        if hasattr(value, "fingerprint"):
            return [str(value.fingerprint())]
        return self._kept(value)

    def _tensor(self, value: Tensor) -> list[Any]:
        self._word(f"{value.dtype} {tuple(value.shape)}")
        dense = value.detach() if value.layout == torch.strided else value.detach().to_dense()
        flat = dense.resolve_conj().resolve_neg().contiguous().cpu().view(-1)
        self.hash.update(flat.view(torch.uint8).numpy().data)
        return []

    def _array(self, value: np.ndarray[Any, Any]) -> list[Any]:
        self._word(f"{value.dtype} {value.shape}")
        if value.dtype.hasobject:
            return [value.tolist()]
        flat = value.reshape(-1)
        self.hash.update((flat if flat.flags.c_contiguous else flat.copy()).view("u1").data)
        return []

    def _code(self, value: Any) -> list[Any]:
        """Of a function, a class or a module: its file, or its code, and what it refers to."""
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        if isinstance(value, FunctionType):  # a wrapper is called after another module's
            name = value.__globals__.get("__name__", name)
        module = sys.modules.get(name)
        self._word(getattr(value, "__qualname__", value.__name__))
        if module is not None and _is_installed(module):
            self._word(module.__name__)
            return []
        written = self._file(value)
        if isinstance(value, FunctionType):
            return _referred(value) if written else [*_bytecode(value.__code__), *_referred(value)]
        if isinstance(value, type):
            own = {name: part for name, part in vars(value).items() if name not in _WRITTEN}
            return [value.__bases__, own]
        modules = {getattr(x, "__module__", None) for x in vars(value).values()}
        return [sys.modules[name] for name in sorted(filter(None, modules)) if name in sys.modules]

    def _file(self, value: Any) -> bool:
        """Adds the file that has a piece of code; returns whether there is one."""
        try:
            file = inspect.getsourcefile(value) or ""
            if file not in self._files:
                self._files[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except (OSError, TypeError):
            return False
        self._word(self._files[file])
        return True

    def _kept(self, value: Any) -> list[Any]:
        """What pickle would keep of an object, but not what changes no batch of a loader."""
        try:
            kept = value.__reduce_ex__(2)
        except _NOT_KEPT:
            return [type(value)]
        if isinstance(kept, str):
            return [type(value), kept]
        make, arguments, state, *items = (*kept, None, None, None)[:5]
        if isinstance(value, (DataLoader, Sampler)) and isinstance(state, Mapping):
            state = {name: part for name, part in state.items() if name not in _PASSED_OVER}
        return [make, arguments, state, *(None if each is None else [*each] for each in items)]


# what holds code, and where
_HOLDERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (partial, ("func", "args", "keywords")),
    (MethodType, ("__func__", "__self__")),
    ((staticmethod, classmethod), ("__func__",)),
    (property, ("fget", "fset", "fdel")),
    (torch.Generator, ()),  # a run sets it anew
)


def _bytecode(code: CodeType) -> list[Any]:
    """Code without its file and lines: a cell of a notebook has others each time."""
    parts: list[Any] = [code.co_code, code.co_names, code.co_varnames, code.co_freevars]
    for constant in code.co_consts:
        parts += _bytecode(constant) if isinstance(constant, CodeType) else [constant]
    return parts


def _names(code: CodeType) -> set[str]:
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


def _referred(function: FunctionType) -> list[Any]:
    """What a function refers to: bound values, defaults, and globals that it names."""
    names = sorted(_names(function.__code__) & function.__globals__.keys())
    bound: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            bound.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            bound.append(None)
    used = {name: function.__globals__[name] for name in names}
    wrapped = getattr(function, "__wrapped__", None)
    return [bound, function.__defaults__, function.__kwdefaults__, used, wrapped]


def _is_installed(module: ModuleType) -> bool:
    """Whether a module is Python's, ours, or of an installed package: its version tells."""
    root = module.__name__.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("torchmomentum", "torch"):
        return module.__name__ != "__main__"
    file = getattr(module, "__file__", None)
    return file is not None and bool({"site-packages", "dist-packages"} & {*Path(file).parts})
