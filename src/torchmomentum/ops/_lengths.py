"""Which steps of padded sequences count."""

from __future__ import annotations

import torch
from torch import Tensor


def steps_alive(time: int, lengths: Tensor) -> Tensor:
    """Which of the steps count, ``(T, B, 1)``, for lengths ``(B,)``."""
    steps = torch.arange(time, device=lengths.device)
    return (steps.unsqueeze(1) < lengths).unsqueeze(-1)
