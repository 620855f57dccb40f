"""``x W^T + b`` over many rows: on our own products where PyTorch's are slow for them.

Those of a few inputs are, and those of many rows whose memory comes fresh from the system.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from torchmomentum._torch_private import plain
from torchmomentum.ops.cpu.library import available, product
from torchmomentum.ops.cpu.pool import empty

_MANY = 256  # rows from which the product is worth the call
_NARROW = 32  # inputs below which the gradient of the weight is ours too


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As :func:`torch.nn.functional.linear`.

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
    if x.numel() < _MANY * x.shape[-1] or not plain() or torch.is_autocast_enabled("cpu"):
        return False
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return all(t.dtype == torch.float32 and t.is_cpu for t in tensors) and available()


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _values(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows, width = _rows(x), len(weight)
    out = empty(x, len(rows), width)
    start = x.new_zeros(width) if bias is None else bias.contiguous()
    product(out, rows, weight.t(), start)
    return out.view(*x.shape[:-1], width)


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
        if of_weight and x.shape[-1] < _NARROW and not torch.is_grad_enabled():
            return grad_x, *_of_narrow(grads, rows, of_bias)
        grad_weight = grads.t() @ rows if of_weight else None
        return grad_x, grad_weight, grads.sum(0) if of_bias else None


def _of_narrow(grads: Tensor, rows: Tensor, of_bias: bool) -> tuple[Tensor, Tensor | None]:
    """The gradients of the weight and the bias, in one pass over those of the values."""
    if of_bias:
        rows = pad(rows, (0, 1), value=1.0)
    found = rows.new_zeros(grads.shape[1], rows.shape[1])
    product(found, grads.t(), rows)
    return (found[:, :-1].contiguous(), found[:, -1].clone()) if of_bias else (found, None)
