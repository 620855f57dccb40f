"""An initialization after which each unit's drive has a root mean square of one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LEAST = 1e-6  # of a root mean square: a unit that sees nothing stays as it is


@torch.no_grad()
def unit_drives_(layer: Any, x: Tensor, lengths: Tensor | None = None) -> None:
    """Divides input weights and bias of each unit by the root mean square of its drive on a batch.

    The drive is ``W x + b``; the idea is that of layer-sequential unit variance (Mishkin and Matas,
    arXiv:1511.06422), of one layer.

    Args:
        layer: Of ``torch.nn`` or ours, its first layer and direction.
        x: ``(T, B, I)``.
        lengths: How many steps of each sequence count, ``(B,)``; None for all.
    """
    weight, bias = layer.weight_ih_l0, getattr(layer, "bias_ih_l0", None)
    steps = x.flatten(0, 1)  # (T B, I)
    if lengths is not None:
        alive = torch.arange(len(x)).unsqueeze(1) < lengths  # (T, B)
        steps = steps[alive.flatten()]
    drives = torch.nn.functional.linear(steps, weight, bias)  # (T B, G H)
    rms = drives.square().mean(0).sqrt()
    rms[rms < _LEAST] = 1.0
    weight /= rms.unsqueeze(1)
    if bias is not None:
        bias /= rms
