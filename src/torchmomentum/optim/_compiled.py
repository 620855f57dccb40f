"""Nesterov's step by our own kernel on a CPU: one call, and one pass over memory, for a group."""

from __future__ import annotations

from array import array
from operator import attrgetter, is_

import torch
from torch import Tensor

_PLAIN = {Tensor, torch.nn.Parameter}  # a subclass may have no memory of its own
_dtype_of, _is_cpu, _nbytes_of = attrgetter("dtype"), attrgetter("is_cpu"), attrgetter("nbytes")


def _contiguous(tensors: list[Tensor], sizes: list[int]) -> bool:
    return all(map(Tensor.is_contiguous, tensors)) and list(map(Tensor.numel, tensors)) == sizes


def same_layout(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether numbers at the same places in memory belong together, as kernels have it."""
    sizes = list(map(Tensor.numel, first))
    if _contiguous(first, sizes) and _contiguous(second, sizes):
        return True
    return all(
        a.numel() == b.numel()  # where not, it is as wrong as in a loop, which says so
        and torch.ops.aten.is_non_overlapping_and_dense(a)
        and a.stride() == b.stride()
        for a, b in zip(first, second, strict=True)
    )


def _float32(tensors: list[Tensor]) -> bool:
    """Whether the kernel can read them: float32, on a CPU."""
    return (
        set(map(type, tensors)) <= _PLAIN
        and set(map(_dtype_of, tensors)) == {torch.float32}
        and all(map(_is_cpu, tensors))
    )


class CompiledStep:
    """The step of one group by the compiled kernel.

    To ask hundreds of small tensors what they are takes longer than their step. What stays from
    step to step, parameters and buffers, is not asked for its type again while it is the same
    contiguous tensors of as many bytes in the same places. It is kept alive until the next step.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._sizes: list[int] = []  # of the parameters
        self._bytes: list[int] = []
        self._places: list[int] = []

    def _table(
        self, params: list[Tensor], grads: list[Tensor], buffers: list[Tensor]
    ) -> list[int] | None:
        """Sizes, and addresses of parameters, buffers and gradients; None for what has none."""
        kept, held = params + buffers, self._tensors
        known = len(kept) == len(held) and all(map(is_, kept, held))
        if not _float32(grads if known else grads + kept):
            return None
        nbytes, contiguous = list(map(_nbytes_of, kept)), all(map(Tensor.is_contiguous, kept))
        places = list(map(Tensor.data_ptr, kept))
        if not (known and contiguous and nbytes == self._bytes and places == self._places):
            if known and not _float32(kept):  # their memory is another now
                return None
            if buffers and not same_layout(params, buffers):
                return None
            self._tensors = kept if contiguous else []
            self._sizes, self._bytes = list(map(Tensor.numel, params)), nbytes
            self._places = places
        sizes = self._sizes
        if not (contiguous and _contiguous(grads, sizes)) and not same_layout(params, grads):
            return None
        if any(map(Tensor.is_neg, grads)):  # a sign that is not in memory
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
        """Takes the step, if the kernel serves.

        Args:
            params: What is stepped.
            grads: Their gradients.
            buffers: What is left of earlier steps, or an empty list.
            numbers: Learning rate, momentum, what the buffers are multiplied by, weight decay.
            maximize: Ascends.

        Returns:
            False where it does not serve: other tensors than dense ones of float32 on a CPU, each
            of one layout with its gradient and its buffer, a graph that is being captured, or no
            kernels. Then nothing has been done.
        """
        from torchmomentum.ops.cpu.library import available, call

        if torch.compiler.is_compiling():
            return False
        try:
            table = self._table(params, grads, buffers)
        except RuntimeError:  # sparse ones have no addresses
            return False
        if table is None or not available():
            return False
        # ten times torch.tensor's speed
        packed = torch.frombuffer(array("q", table), dtype=torch.int64)
        tail = *numbers, maximize, torch.get_num_threads()
        call("optimizer_step", len(params), packed, *tail)
        torch.autograd.graph.increment_version(params)  # nothing else can be part of a graph
        return True
