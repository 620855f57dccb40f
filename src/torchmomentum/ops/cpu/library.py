"""Calls the compiled CPU kernels on tensors."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from torchmomentum._torch_private import constant_in_graphs
from torchmomentum.ops.cpu import build as _build


@constant_in_graphs
def available() -> bool:
    """Whether the compiled kernels can be had; asking builds them on first use."""
    return _build.library() is not None


_PLAIN = (Tensor, torch.nn.Parameter)  # a subclass may have no memory of its own


def computes(*tensors: Any) -> bool:
    """Whether the kernels can read all that are tensors: plain ones of float32 on a CPU."""
    for x in tensors:
        if type(x) in _PLAIN:
            if x.dtype != torch.float32 or not x.is_cpu:
                return False
        elif isinstance(x, Tensor):
            return False
    return available()  # last: asking may build them


def _type(x: Any) -> Any:
    if x is None or isinstance(x, Tensor):
        return ctypes.c_void_p
    return ctypes.c_double if isinstance(x, float) else ctypes.c_int64


@functools.cache
def _function(name: str) -> Any:
    library = _build.library()
    if library is None:
        raise RuntimeError("the CPU kernels are not available")
    function = library[name]  # an object of its own, whose types are ours to set
    function.restype = ctypes.c_int64
    return function


def call(name: str, *args: Any) -> int:
    """Calls a kernel: tensors as pointers, numbers as int64 or double.

    The tensors must be on the CPU, contiguous where the kernel takes no strides, and of the type
    that it names: nothing is checked here.
    """
    function = _function(name)
    if function.argtypes is None:  # a kernel's arguments are of the same kinds at every call
        function.argtypes = [_type(x) for x in args]
    seconds, start = _seconds, time.perf_counter()
    plain: list[Any] = []
    for x in args:
        if isinstance(x, Tensor):
            place = x.data_ptr()
            if not x.is_cpu or (place == 0 and x.numel()):
                raise RuntimeError(
                    f"the CPU kernels need memory of the CPU, got a {type(x).__name__} on "
                    f"{x.device}"
                )
            x = place
        plain.append(x)
    found: int = function(*plain)
    if seconds is not None:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    return found


_seconds: dict[str, float] | None = None


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yields a dictionary that gathers the seconds spent in each kernel, by its name."""
    global _seconds
    before, _seconds = _seconds, {}
    try:
        yield _seconds
    finally:
        _seconds = before


def contiguous(*tensors: Tensor | None) -> list[Any]:
    """All as kernels without strides read them; None stays None."""
    return [x if x is None else x.contiguous() for x in tensors]


def product(
    out: Tensor, a: Tensor, b: Tensor, start: Tensor | None = None, bfloat16: bool = False
) -> None:
    """``out = start + a @ b`` for float32 matrices, ``out`` contiguous.

    Args:
        out: ``(M, N)``; without a ``start`` it is added to.
        a: ``(M, K)``, of any strides.
        b: ``(K, N)``, of any strides.
        start: What each row begins from, ``(N,)``.
        bfloat16: Rounds ``a`` and ``b`` to bfloat16, and sums in float32.
    """
    strides, size = (a, *a.stride(), b, *b.stride()), (*out.shape, a.shape[1])
    call("matrix_product", out, *strides, *size, start, bfloat16, torch.get_num_threads())
