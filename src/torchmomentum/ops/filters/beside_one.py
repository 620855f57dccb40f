"""The filter of a constant momentum over an input and a channel of ones, in one call into C++."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum._torch_private import plain
from torchmomentum.ops._problem import Velocity
from torchmomentum.ops.cpu.library import call, computes
from torchmomentum.ops.cpu.pool import empty
from torchmomentum.ops.filters.adam import largest_drive


def serves_beside_one(*values: Tensor | float) -> bool:
    """Whether :func:`filter_beside_one` takes these: float32 on a CPU, no gradient asked.

    Args:
        values: Of its arguments, those that are known.
    """
    if not plain() or not computes(*values):
        return False
    return not torch.is_grad_enabled() or not any(
        [isinstance(each, Tensor) and each.requires_grad for each in values]
    )


def filter_beside_one(x: Tensor, rule: Velocity) -> tuple[Tensor, Tensor]:
    """What :func:`torchmomentum.ops.linear_scan` makes of ``[x_t; 1]``, its drives bounded.

    Args:
        x: ``(T, B, I)``, of a step at least.
        rule: Of a velocity ``(B, I + 1)``.

    Returns:
        All values, ``(T, B, I + 1)``, in memory that may be used again, and the last.

    Raises:
        ValueError: The velocity has another shape.
    """
    velocity, mu, gain = rule
    time, batch, width = x.shape
    if velocity.shape != (batch, width + 1):
        raise ValueError(
            f"velocity must be {[batch, width + 1]} for an input of {list(x.shape)}, got "
            f"{list(velocity.shape)}"
        )
    x, start = x.resolve_neg().contiguous(), velocity.resolve_neg().contiguous()
    out = empty(x, time, batch, width + 1)
    numbers = float(mu), float(gain), largest_drive(x, float(gain)), torch.get_num_threads()
    call("filter_beside_one", time, batch, width, x, start, out, *numbers)
    return out, out[-1].clone()


def joined(weight: Tensor, bias: Tensor) -> Tensor:
    """Weights ``(N, I + 1)`` that read ``[x; 1]``, of ``(N, I)`` and a bias ``(N,)``."""
    return torch.cat([weight, bias.unsqueeze(1)], 1)
