"""What keeps a recurrent layer from fitting too well: what it draws anew for each sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout

from torchmomentum.ops import Modifiers


def _probability(name: str, value: float, *, open_end: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (0 <= value < 1 if open_end else 0 <= value <= 1):
        raise ValueError(f"{name} must be in [0, 1{')' if open_end else ']'}, got {value}")
    return float(value)


class Regularization(NamedTuple):
    """Three ways to leave something of a recurrence out in training.

    Attributes:
        recurrent_dropout: Probability that ``weight_hh`` does not see a unit of ``h``, drawn once
            for a sequence (Gal and Ghahramani, 2016).
        weight_dropout: Probability that an entry of ``weight_hh`` is left out, drawn once for a
            sequence (Wan et al., 2013; Merity et al., 2018).
        zoneout_h: Probability that a unit of ``h`` stays as it is, drawn at each step (Krueger et
            al., 2017); in evaluation its mean is used.
        zoneout_c: The same of ``c``.
    """

    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0

    @classmethod
    def checked(
        cls,
        recurrent_dropout: float,
        weight_dropout: float,
        zoneout: float | tuple[float, float],
        states: int,
    ) -> Regularization:
        """From a layer's arguments, where one number for zoneout is that of all its states.

        Raises:
            TypeError: One of them is not a number.
            ValueError: One of them is no probability.
        """
        pair = zoneout if isinstance(zoneout, (tuple, list)) else (zoneout,) * states
        if len(pair) != states:
            raise ValueError(f"zoneout must be a number or one for each state, got {len(pair)}")
        return cls(
            _probability("recurrent_dropout", recurrent_dropout, open_end=True),
            _probability("weight_dropout", weight_dropout, open_end=True),
            *(_probability("zoneout", value, open_end=False) for value in pair),
        )

    def weight(self, weight_hh: Tensor, training: bool) -> Tensor:
        """``weight_hh`` as a sequence finds it."""
        if not (training and self.weight_dropout):
            return weight_hh
        return dropout(weight_hh, self.weight_dropout)

    def draw(self, time: int, state: tuple[Tensor, ...], training: bool) -> Modifiers:
        """What a recurrence of so many steps does besides, from states ``(B, H)``."""
        h, rates = state[0], (self.zoneout_h, self.zoneout_c)
        if not training:
            rate_h, rate_c = rates[0], rates[1] if len(state) == 2 else 0.0
            return Modifiers(rate_h=rate_h, rate_c=rate_c)
        modifiers = Modifiers()
        if self.recurrent_dropout:
            kept = 1 - self.recurrent_dropout
            modifiers = modifiers._replace(keep_mask=_true(h.shape, kept, h), keep_scale=1 / kept)
        if self.zoneout_h:
            modifiers = modifiers._replace(zoneout_h=_true((time, *h.shape), rates[0], h))
        if self.zoneout_c and len(state) == 2:
            modifiers = modifiers._replace(zoneout_c=_true((time, *state[1].shape), rates[1], h))
        return modifiers


def _true(shape: tuple[int, ...], probability: float, like: Tensor) -> Tensor:
    return torch.rand(shape, device=like.device) < probability
