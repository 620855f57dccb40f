"""Which steps of padded sequences count."""

from __future__ import annotations

import torch
from torch import Tensor


def steps_alive(time: int, lengths: Tensor) -> Tensor:
    """Which of the steps count, ``(T, B, 1)``, for lengths ``(B,)``."""
    steps = torch.arange(time, device=lengths.device)
    return (steps.unsqueeze(1) < lengths).unsqueeze(-1)


def last_alive(values: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence's last step that counts, of ``(T, B, N)``, for lengths ``(B,)``: ``(B, N)``."""
    rows = torch.arange(values.shape[1], device=values.device)
    return values[lengths.to(values.device) - 1, rows]
