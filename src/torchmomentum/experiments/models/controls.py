"""Controls: what changes the scale of a cell's input drive and has no momentum.

A rule that is better than its baseline may owe that to the scale of the drive alone. These are the
arms that tell: beside a rule, each is one word of ``compare --models`` away.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.nn import Gain, Rule
from torchmomentum.ops import steps_alive

_EPS = 1e-5
_KEPT = 0.9  # of a running statistic, at each training step


CONSTANT_GAIN = partial(Gain, gain=2.5)
LEARNED_GAIN = partial(Gain, gain=1.0, learnable=True)


def _counted(values: Tensor, alive: Tensor | None) -> Tensor:
    """The steps ``(T, B, 1)`` that count, of ``(T, B, N)``, one below the other."""
    return values.flatten(0, 1) if alive is None else values[alive.squeeze(-1)]


def _alive(values: Tensor, lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else steps_alive(len(values), lengths.to(values.device))


class _NoState(Rule):
    """A rule that carries nothing from step to step."""

    def initial_state(self, batch_size: int, width: int, **options: Any) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()


class DriveLayerNorm(_NoState):
    """The drive of a step minus its mean, divided by its standard deviation, over all channels."""

    def scan(self, drives: Tensor, state: Any = None, lengths: Any = None) -> Any:
        """See :meth:`~torchmomentum.nn.Rule.scan`."""
        return nn.functional.layer_norm(drives, drives.shape[-1:]), ()


class UnitRMS(_NoState):
    """Each channel's drive over its root mean square.

    In training the root mean square is that of the batch, over samples and time. In evaluation it
    is the running mean of training, as in batch normalization.
    """

    mean_square: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_square", None)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        held = state_dict.get(f"{prefix}mean_square")  # its width is known from the first step on
        self.mean_square = None if held is None else held.clone()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def scan(self, drives: Tensor, state: Any = None, lengths: Any = None) -> Any:
        """See :meth:`~torchmomentum.nn.Rule.scan`."""
        held = None if self.mean_square is None else self.mean_square.to(drives.device)
        if not self.training and held is not None:
            mean = held
        else:
            mean = _counted(drives, _alive(drives, lengths)).float().square().mean(0)
        if self.training:
            seen = mean.detach()
            self.mean_square = seen.clone() if held is None else torch.lerp(seen, held, _KEPT)
        return drives * torch.rsqrt(mean + _EPS).to(drives.dtype), ()


class Standardize(nn.Module):
    """Each feature of a sequence minus its mean, divided by its standard deviation.

    By batch normalization without weights, of the steps that count.

    Args:
        features: Of ``(T, B, I)``.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features, affine=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``(T, B, I)``, and lengths ``(B,)``, to the same; steps that do not count are zero."""
        alive = _alive(x, lengths)
        found: Tensor = self.norm(_counted(x, alive))
        if alive is None:
            return found.view_as(x)
        return torch.zeros_like(x).masked_scatter(alive, found)
