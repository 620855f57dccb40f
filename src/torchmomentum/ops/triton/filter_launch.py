"""Launches the Triton kernels of the rules along time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchmomentum.ops.triton.device import on_device, runs_on

_BLOCK = 128
CHUNK = 32  # steps whose states are made again in a backward


def serves(x: Tensor) -> bool:
    """Whether the kernels filter this: float32 on CUDA."""
    return x.device.type == "cuda" and x.dtype == torch.float32 and runs_on(x.device)


def linear(x: Tensor, decay: Tensor | float, initial: Tensor, gain: float, reverse: bool) -> Tensor:
    """The filter of :func:`linear_scan`, of decays ``(T, B or 1, N or 1)`` or a number."""
    from torchmomentum.ops.triton import filters

    x, out = x.contiguous(), x.new_empty(x.shape)
    start = initial.expand_as(x[0]).contiguous()
    channels = x[0].numel()
    each, constant, span = None, 0.0, channels
    if isinstance(decay, Tensor):
        if decay.shape[2] > 1:
            decay, span = decay.expand_as(x), 1
        elif decay.shape[1] > 1:
            span = x.shape[-1]
        each = decay.contiguous()
    else:
        constant = decay
    with on_device(x):
        filters.linear[(-(-channels // _BLOCK),)](
            *(x, out, start, each, gain, constant, len(x), channels, span),
            REVERSE=reverse,
            BLOCK=_BLOCK,
        )
    return out


def marks(time: int) -> int:
    """How many times a forward keeps its states."""
    return -(-time // CHUNK)


def adam_forward(
    x: Tensor,
    velocity: Tensor,
    rms: Tensor,
    mask: Tensor | None,
    numbers: dict[str, float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The outputs, the last states, and the states ``(chunks, 2, B, N)`` where chunks begin."""
    from torchmomentum.ops.triton import filters

    x, out = x.contiguous(), x.new_empty(x.shape)
    last_v, last_r = (s.clone(memory_format=torch.contiguous_format) for s in (velocity, rms))
    kept = x.new_empty(marks(len(x)), 2, *x.shape[1:])
    names = ("mu", "gain", "old_root", "new_root", "eps", "limit", "bound")
    channels = x[0].numel()
    with on_device(x):
        filters.adam_forward[(-(-channels // _BLOCK),)](
            *(x, out, last_v, last_r, kept, _alive(mask, x), *(numbers[name] for name in names)),
            *(len(x), channels, x.shape[-1]),
            CHUNK=CHUNK,
            BLOCK=_BLOCK,
        )
    return out, last_v, last_r, kept


def adam_backward(
    x: Tensor,
    grad: Tensor | None,
    carried: tuple[Tensor, Tensor],
    kept: Tensor,
    mask: Tensor | None,
    numbers: dict[str, float],
    learned: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the drives, of the first states (in place) and of ``mu`` and ``gain``."""
    from torchmomentum.ops.triton import filters

    x, grad_x = x.contiguous(), x.new_empty(x.shape)
    channels = x[0].numel()
    programs = -(-channels // _BLOCK)
    scratch = x.new_empty(2, CHUNK + 1, channels)
    sums = x.new_empty(programs, 2) if learned else None
    names = ("mu", "gain", "beta", "old_root", "new_root", "eps", "limit", "largest", "bound")
    grad = None if grad is None else grad.contiguous()
    with on_device(x):
        filters.adam_backward[(programs,)](
            *(x, grad, grad_x, *carried, kept, scratch, _alive(mask, x), sums),
            *(*(numbers[name] for name in names), torch.finfo(x.dtype).tiny),
            *(len(x), channels, x.shape[-1]),
            CHUNK=CHUNK,
            BLOCK=_BLOCK,
        )
    total = x.new_zeros(2) if sums is None else sums.double().sum(0).to(x.dtype)
    return grad_x, total[0], total[1]


def _alive(mask: Tensor | None, x: Tensor) -> Tensor | None:
    if mask is None:
        return None
    return mask.expand(*x.shape[:2], 1).contiguous().view(torch.uint8)


def roots(beta: float) -> dict[str, float]:
    """The roots of how much of a mean of squares is kept and how much is new."""
    return {"beta": beta, "old_root": math.sqrt(beta), "new_root": math.sqrt(1 - beta)}
