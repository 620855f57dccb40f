r"""One step of Nesterov's method on lists of tensors: the definition, and three faster ways.

With :math:`v_k = w_{k-1} - s_k g_k` and :math:`w_k = v_k + \mu_k (v_k - v_{k-1})`, the difference
:math:`d_k = v_k - v_{k-1}` obeys :math:`d_k = \mu_{k-1} d_{k-1} - s_k g_k`, so that
:math:`w_k = w_{k-1} - s_k g_k + \mu_k d_k`. A buffer holds :math:`-d_k / \text{scale}`; the scale
is 1 but where PyTorch's fused kernel, which has one momentum where this has two, needs another.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

_FUSED: Callable[..., None] | None = getattr(torch, "_fused_sgd_", None)
_PLAIN = {Tensor, torch.nn.Parameter}  # a subclass may have no memory of its own
_dtype_of, _is_cpu = attrgetter("dtype"), attrgetter("is_cpu")
_LARGEST_RATIO = 1e12  # beyond which the fused kernel's rescaled buffer would lose precision


class Step(NamedTuple):
    """The numbers of one step of one group."""

    lr: float | Tensor
    momentum: float  # mu_k; zero makes it a plain gradient step that needs no buffer
    previous: float  # mu_{k-1}
    scale: float  # what the buffers are to be multiplied by
    weight_decay: float
    maximize: bool


def _number(lr: float | Tensor) -> float:
    return float(lr)


def _subtract(target: Tensor, grad: Tensor, lr: float | Tensor) -> None:
    """``target -= lr * grad``, differentiably where the learning rate is."""
    if isinstance(lr, Tensor) and lr.requires_grad:
        target.addcmul_(grad, lr, value=-1)
    else:
        target.add_(grad, alpha=-_number(lr))


def _grouped(*lists: list[Tensor]) -> Iterator[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
    """Three parallel lists, split by device and type: what list operations need."""
    tensors = cast("list[list[Tensor | None]]", list(lists))
    for group, _ in Optimizer._group_tensors_by_device_and_dtype(tensors).values():
        first, second, third = cast("list[list[Tensor]]", group)
        yield first, second, third


def step_each(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], s: Step) -> float:
    """The definition, tensor by tensor. Returns the buffers' new scale."""
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        if s.maximize:
            grad = -grad
        if s.weight_decay:
            grad = grad.add(param, alpha=s.weight_decay)
        if s.momentum:
            buffer = buffers[i]
            buffer.mul_(-s.previous * s.scale)
            _subtract(buffer, grad, s.lr)
            buffer.neg_()
        _subtract(param, grad, s.lr)
        if s.momentum:
            param.add_(buffers[i], alpha=-s.momentum)
    return 1.0


def step_foreach(
    params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], s: Step
) -> float:
    """The same for whole lists at once. Returns the buffers' new scale."""
    lr = _number(s.lr)
    for weights, slopes, held in _grouped(params, grads, buffers if s.momentum else params):
        if s.maximize:
            slopes = list(torch._foreach_neg(slopes))
        if s.weight_decay:
            slopes = list(torch._foreach_add(slopes, weights, alpha=s.weight_decay))
        if s.momentum:
            torch._foreach_mul_(held, s.previous * s.scale)
            torch._foreach_add_(held, slopes, alpha=lr)
        torch._foreach_add_(weights, slopes, alpha=-lr)
        if s.momentum:
            torch._foreach_add_(weights, held, alpha=-s.momentum)
    return 1.0


def _same_layout(lists: list[list[Tensor]]) -> bool:
    """Whether numbers at the same places in memory belong together, as kernels have it."""
    sizes = list(map(Tensor.numel, lists[0]))
    if not all(list(map(Tensor.numel, each)) == sizes for each in lists[1:]):
        return False  # as wrong as in a loop, which says so
    if any(map(Tensor.is_neg, lists[1])):
        return False  # the sign is not in memory
    return all(map(Tensor.is_contiguous, chain.from_iterable(lists))) or all(
        torch.ops.aten.is_non_overlapping_and_dense(first)
        and all(t.stride() == first.stride() for t in others)
        for first, *others in zip(*lists, strict=True)
    )


def _integers(values: Iterable[int]) -> Tensor:
    return torch.frombuffer(array("q", values), dtype=torch.int64)  # ten times torch.tensor's speed


def _step_compiled(lists: list[list[Tensor]], s: Step) -> bool:
    """The step by our own kernel, one call for all tensors, each of one layout.

    False where it does not serve: other tensors than those of float32 on a CPU, a graph that is
    being captured, or no kernels. Then nothing has been done.
    """
    from torchmomentum.ops._kernels import available, call

    every = list(chain.from_iterable(lists))
    if (
        torch.compiler.is_compiling()
        or set(map(_dtype_of, every)) != {torch.float32}
        or not set(map(type, every)) <= _PLAIN
        or not all(map(_is_cpu, every))
        or not available()
    ):
        return False
    sizes = _integers(map(Tensor.numel, lists[0]))
    params, grads, *held = (_integers(map(Tensor.data_ptr, each)) for each in lists)
    numbers = (_number(s.lr), s.momentum, s.previous * s.scale, float(s.weight_decay))
    tail = *numbers, s.maximize, torch.get_num_threads()
    call("optimizer_step", len(sizes), sizes, params, grads, held[0] if held else None, *tail)
    torch.autograd.graph.increment_version(lists[0])  # nothing else can be part of a graph
    return True


def step_fused(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], s: Step) -> float:
    """The same by PyTorch's fused SGD kernel, one pass over memory. Returns the buffers' new scale.

    The kernel does ``S = m S + (1 - dampening) g`` and ``p -= lr (g + m S)``: with
    ``d = -lr a S`` this is the step above for ``a = sqrt(mu_{k-1} scale / (lr mu_k))``,
    ``m = mu_k a`` and ``dampening = 1 - 1 / a``. On a CPU our own kernel goes before it. Neither
    minds how a tensor lies in memory: where layouts differ, lists of operations do the step.
    """
    lists = [params, grads, *([buffers] if s.momentum else [])]
    if not _same_layout(lists):
        return step_foreach(params, grads, buffers, s)
    if _step_compiled(lists, s):
        return 1.0
    lr = _number(s.lr)
    first = s.previous == 0.0  # nothing of the buffer is kept
    ratio = 1.0
    if s.momentum and not first:
        kept = s.previous * s.scale
        if not kept < _LARGEST_RATIO * lr:
            return step_foreach(params, grads, buffers, s)
        ratio = math.sqrt(kept / (lr * s.momentum))
    if _FUSED is None or not 0.0 < ratio < math.inf or (s.momentum and lr == 0.0):
        return step_foreach(params, grads, buffers, s)
    for weights, slopes, held in _grouped(params, grads, buffers if s.momentum else params):
        _FUSED(
            weights,
            slopes,
            held if s.momentum else [],
            weight_decay=s.weight_decay,
            momentum=s.momentum * ratio,
            lr=lr,
            dampening=1.0 - 1.0 / ratio,
            nesterov=bool(s.momentum),
            maximize=s.maximize,
            is_first_step=first and bool(s.momentum),
        )
    return lr * ratio
