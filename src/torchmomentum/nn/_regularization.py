"""Recurrent dropout, weight dropout and zoneout: what a layer draws anew for each sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import check_number
from torchmomentum.ops import PLAIN, Modifiers


class Regularization(NamedTuple):
    """Three ways to leave a part of a recurrence out in training.

    Attributes:
        recurrent_dropout: Probability that ``weight_hh`` does not see a unit of ``h``, drawn once
            for a sequence (Gal and Ghahramani, 2016).
        weight_dropout: Probability that an entry of ``weight_hh`` is left out, drawn once for a
            sequence (Wan et al., 2013; Merity et al., 2018).
        zoneout_h: Probability that a unit of ``h`` stays as it is, drawn at each step (Krueger et
            al., 2017); in evaluation its mean is used.
        zoneout_c: The same of ``c``.
    """

    recurrent_dropout: float
    weight_dropout: float
    zoneout_h: float
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

        States after the second have no zoneout.

        Raises:
            TypeError: One of them is not a number.
            ValueError: One of them is no probability.
        """
        states = min(states, 2)
        pair = zoneout if isinstance(zoneout, (tuple, list)) else (zoneout,) * states
        if len(pair) != states:
            raise ValueError(f"zoneout must be a number or one for each state, got {len(pair)}")
        return cls(
            check_number("recurrent_dropout", recurrent_dropout, 0, 1),
            check_number("weight_dropout", weight_dropout, 0, 1),
            *(check_number("zoneout", value, 0, 1, closed_high=True) for value in pair),
        )

    def draw(self, time: int, state: tuple[Tensor, ...], training: bool) -> Modifiers:
        """What changes a recurrence of so many steps, from states ``(B, H)``."""
        h, rate_h, rate_c = state[0], self.zoneout_h, self.zoneout_c
        if not training:
            return Modifiers(rate_h=rate_h, rate_c=rate_c) if rate_h or rate_c else PLAIN
        found: dict[str, Any] = {}
        if self.recurrent_dropout:
            kept = 1 - self.recurrent_dropout
            found = {"keep_mask": _true(h.shape, kept, h), "keep_scale": 1 / kept}
        if rate_h:
            found["zoneout_h"] = _true((time, *h.shape), rate_h, h)
        if rate_c:
            found["zoneout_c"] = _true((time, *state[1].shape), rate_c, h)
        return Modifiers(**found)


def _true(shape: tuple[int, ...], probability: float, like: Tensor) -> Tensor:
    return torch.rand(shape, device=like.device) < probability
