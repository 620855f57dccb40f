r"""One step of Nesterov's method on lists of tensors: the definition and faster implementations.

With :math:`v_k = w_{k-1} - s_k g_k` and :math:`w_k = v_k + \mu_k (v_k - v_{k-1})`, the difference
:math:`d_k = v_k - v_{k-1}` obeys :math:`d_k = \mu_{k-1} d_{k-1} - s_k g_k`, so that
:math:`w_k = w_{k-1} - s_k g_k + \mu_k d_k`. A buffer holds :math:`-d_k / \text{scale}`. The scale
is 1 except after a step of PyTorch's fused kernel, which has one momentum where this has two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from torch import Tensor

from torchmomentum._torch_private import (
    foreach_add,
    foreach_add_,
    foreach_mul_,
    foreach_neg,
    fused_sgd,
    group_by_device_and_dtype,
)
from torchmomentum.optim._compiled import CompiledStep, same_layout

_LARGEST_RATIO = 1e12  # above it the fused kernel's rescaled buffer would lose precision


class Step(NamedTuple):
    """The numbers of one step of one group."""

    lr: float | Tensor
    momentum: Any  # mu_k; zero makes it a plain gradient step that needs no buffer
    previous: Any  # mu_{k-1}; in step_tensors both are tensors
    scale: float  # buffers times scale are -d_{k-1}
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
    """Splits three parallel lists by device and type, as list operations require."""
    tensors = cast("list[list[Tensor | None]]", list(lists))
    for group, _ in group_by_device_and_dtype(tensors).values():
        first, second, third = cast("list[list[Tensor]]", group)
        yield first, second, third


def step_each(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], s: Step) -> float:
    """The definition, one tensor at a time. Returns the buffers' new scale."""
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
    """The same with list operations. Returns the buffers' new scale."""
    lr = _number(s.lr)
    for weights, slopes, held in _grouped(params, grads, buffers if s.momentum else params):
        if s.maximize:
            slopes = list(foreach_neg(slopes))
        if s.weight_decay:
            slopes = list(foreach_add(slopes, weights, alpha=s.weight_decay))
        if s.momentum:
            foreach_mul_(held, s.previous * s.scale)
            foreach_add_(held, slopes, alpha=lr)
        foreach_add_(weights, slopes, alpha=-lr)
        if s.momentum:
            foreach_add_(weights, held, alpha=-s.momentum)
    return 1.0


def step_tensors(params: list[Tensor], grads: list[Tensor], buffers: list[Tensor], s: Step) -> None:
    """The same with a momentum that is a tensor, whose value is not read, on buffers of scale 1."""
    for param, grad, buffer in zip(params, grads, buffers, strict=True):
        if s.maximize:
            grad = -grad
        if s.weight_decay:
            grad = grad.add(param, alpha=s.weight_decay)
        change = s.lr * grad
        buffer.mul_(s.previous).add_(change)
        param.sub_(change + s.momentum * buffer)


def step_fused(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    s: Step,
    compiled: CompiledStep,
) -> float:
    """The same in one pass over memory. Returns the buffers' new scale.

    Our compiled kernel takes the step where it serves, and PyTorch's fused SGD kernel elsewhere.
    PyTorch's computes ``S = m S + (1 - dampening) g`` and ``p -= lr (g + m S)``. With
    ``d = -lr a S`` this is the step above for ``a = sqrt(mu_{k-1} scale / (lr mu_k))``,
    ``m = mu_k a`` and ``dampening = 1 - 1 / a``. Both kernels ignore strides: tensors of different
    layouts are stepped by list operations.
    """
    buffers = buffers if s.momentum else []
    numbers = _number(s.lr), s.momentum, s.previous * s.scale, float(s.weight_decay)
    if compiled(params, grads, buffers, numbers, s.maximize):
        return 1.0
    wrong = next((p.dtype for p in params if not p.is_floating_point()), None)
    if wrong is not None:
        raise RuntimeError(f"`fused=True` requires floating point parameters, got {wrong}")
    if any(grad.is_sparse for grad in grads):
        raise RuntimeError("`fused=True` does not support sparse gradients")
    alike = same_layout(params, grads) and (not buffers or same_layout(params, buffers))
    if not alike or any(map(Tensor.is_neg, grads)):
        return step_foreach(params, grads, buffers, s)
    lr = _number(s.lr)
    first = s.previous == 0.0  # nothing of the buffer is kept
    ratio = 1.0
    if s.momentum and not first:
        kept = s.previous * s.scale
        if not kept < _LARGEST_RATIO * lr:
            return step_foreach(params, grads, buffers, s)
        ratio = math.sqrt(kept / (lr * s.momentum))
    if fused_sgd is None or not 0.0 < ratio < math.inf or (s.momentum and lr == 0.0):
        return step_foreach(params, grads, buffers, s)
    for weights, slopes, held in _grouped(params, grads, buffers if s.momentum else params):
        fused_sgd(
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
