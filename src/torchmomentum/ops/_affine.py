"""``x W^T + b`` over many rows: on our own products where PyTorch's are slow for them.

Those of a few inputs are, and those of many rows whose memory comes fresh from the system.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from torchmomentum._torch_private import plain
from torchmomentum.ops.cpu.library import computes, product
from torchmomentum.ops.cpu.pool import empty

_MANY = 256  # rows from which the product is worth the call
_NARROW = 32  # inputs below which the gradient of the weight is ours too


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As :func:`torch.nn.functional.linear`, for what does not leave this package.

    Large values lie in memory of the pool.

    Args:
        x: ``(..., I)``.
        weight: ``(N, I)``.
        bias: ``(N,)``, or None.
    """
    if not _serves(x, weight, bias):
        return linear(x, weight, bias)
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, weight, bias)
    ):
        found: Tensor = _Affine.apply(x, weight, bias)
        return found
    return _values(x, weight, bias)


def _serves(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    if not plain() or torch.is_autocast_enabled("cpu"):  # first: a size in a graph may be a symbol
        return False
    width, inputs = weight.shape
    return (
        x.shape[-1] == inputs
        and x.numel() >= _MANY * max(inputs, 1)
        and (bias is None or bias.shape == (width,))
        and computes(x, weight, bias)
    )


def _rows(x: Tensor) -> Tensor:
    """All rows, as they lie in memory: a sign may be a bit that a kernel does not see."""
    return x.resolve_neg().reshape(-1, x.shape[-1])


def _values(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    width = len(weight)
    out = empty(x, *x.shape[:-1], width)
    start = x.new_zeros(width) if bias is None else bias.resolve_neg().contiguous()
    product(out.view(-1, width), _rows(x), weight.resolve_neg().t(), start)
    return out


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _values(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        grads, rows = _rows(grad), _rows(x)
        grad_x = affine(grad, weight.t()) if of_x else None
        grad_weight = None
        once = plain() and not torch.is_grad_enabled()
        if of_weight and once and x.shape[-1] < _NARROW and computes(grads, rows):
            # a column more: the gradients are read once, and summed on the way
            rows = pad(rows, (0, 1), value=1.0) if of_bias else rows
            found = _summed(grads, rows)
            if not of_bias:
                return grad_x, found, None
            return grad_x, found[:, :-1].contiguous(), found[:, -1].clone()
        if of_weight:
            grad_weight = grads.t() @ rows
        return grad_x, grad_weight, grads.sum(0) if of_bias else None


_PART = 4096  # rows that one running sum in float32 takes


def _summed(grads: Tensor, rows: Tensor) -> Tensor:
    """``grads.t() @ rows``, of parts that are summed by themselves first."""
    parts = [slice(i, i + _PART) for i in range(0, len(rows), _PART)]
    found = rows.new_zeros(len(parts), grads.shape[1], rows.shape[1])
    for part, out in zip(parts, found.unbind(0), strict=True):
        product(out, grads[part].t(), rows[part])
    return found.sum(0)
