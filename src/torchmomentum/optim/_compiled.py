"""Nesterov's step in our compiled CPU kernel: one call and one pass over memory for a group."""

from __future__ import annotations

from array import array
from operator import attrgetter, is_

import torch
from torch import Tensor

_PLAIN = {Tensor, torch.nn.Parameter}  # a subclass may have no storage
_dtype_of, _is_cpu, _nbytes_of = attrgetter("dtype"), attrgetter("is_cpu"), attrgetter("nbytes")


def _contiguous(tensors: list[Tensor], sizes: list[int]) -> bool:
    return all(map(Tensor.is_contiguous, tensors)) and list(map(Tensor.numel, tensors)) == sizes


def same_layout(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether elements correspond in memory order, as kernels that ignore strides require."""
    sizes = list(map(Tensor.numel, first))
    if _contiguous(first, sizes) and _contiguous(second, sizes):
        return True
    return all(
        a.numel() == b.numel()  # otherwise the definition raises an error
        and torch.ops.aten.is_non_overlapping_and_dense(a)
        and a.stride() == b.stride()
        for a, b in zip(first, second, strict=True)
    )


def _float32(tensors: list[Tensor]) -> bool:
    """Whether the kernel can read them: plain tensors of float32 on a CPU."""
    return (
        set(map(type, tensors)) <= _PLAIN
        and set(map(_dtype_of, tensors)) == {torch.float32}
        and all(map(_is_cpu, tensors))
    )


class CompiledStep:
    """Steps one group with the compiled kernel.

    Checking the types and layouts of hundreds of small tensors takes longer than stepping them.
    Parameters and buffers are therefore checked again only when they are other tensors than in the
    last step, or have another size in bytes or another address. They are kept alive until the next
    step.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._sizes: list[int] = []  # of the parameters
        self._bytes: list[int] = []
        self._places: list[int] = []

    def _table(
        self, params: list[Tensor], grads: list[Tensor], buffers: list[Tensor]
    ) -> list[int] | None:
        """Sizes, then addresses of parameters, buffers and gradients; None if they do not fit."""
        kept, held = params + buffers, self._tensors
        known = len(kept) == len(held) and all(map(is_, kept, held))
        if not _float32(grads if known else grads + kept):
            return None
        nbytes, contiguous = list(map(_nbytes_of, kept)), all(map(Tensor.is_contiguous, kept))
        places = list(map(Tensor.data_ptr, kept))
        if not (known and contiguous and nbytes == self._bytes and places == self._places):
            if known and not _float32(kept):  # their storage has been exchanged
                return None
            if buffers and not same_layout(params, buffers):
                return None
            self._tensors = kept if contiguous else []
            self._sizes, self._bytes = list(map(Tensor.numel, params)), nbytes
            self._places = places
        sizes = self._sizes
        if not (contiguous and _contiguous(grads, sizes)) and not same_layout(params, grads):
            return None
        if any(map(Tensor.is_neg, grads)):  # the sign is a bit, and not in memory
            return None
        return sizes + places + list(map(Tensor.data_ptr, grads))

    def __call__(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        buffers: list[Tensor],
        numbers: tuple[float, float, float, float],
        maximize: bool,
    ) -> bool:
        """Takes the step if the kernel serves these tensors.

        Args:
            params: The parameters.
            grads: Their gradients.
            buffers: Their momentum buffers, or an empty list for a plain gradient step.
            numbers: Learning rate, momentum, the factor of the buffers, weight decay.
            maximize: Whether to maximize.

        Returns:
            Whether the step has been taken. The kernel serves dense float32 tensors on a CPU, each
            with the layout of its gradient and buffer, outside of ``torch.compile``.
        """
        from torchmomentum.ops.cpu.library import available, call

        if torch.compiler.is_compiling():
            return False
        try:
            table = self._table(params, grads, buffers)
        except RuntimeError:  # sparse tensors have no address
            return False
        if table is None or not available():
            return False
        # ten times as fast as torch.tensor
        packed = torch.frombuffer(array("q", table), dtype=torch.int64)
        tail = *numbers, maximize, torch.get_num_threads()
        call("optimizer_step", len(params), packed, *tail)
        torch.autograd.graph.increment_version(params)  # only these can be part of a graph
        return True
