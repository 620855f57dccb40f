"""Constant momentum."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum.nn.rules._rule import RuleState, in_float32
from torchmomentum.nn.rules._scaled import ScaledRule
from torchmomentum.ops import Velocity


class MomentumState(NamedTuple):
    """The velocity ``v``, ``(B, N)``."""

    velocity: Tensor


class Momentum(ScaledRule):
    r"""Constant momentum, equation (9) of the MomentumRNN paper.

    .. math:: v_t = \mu v_{t-1} + s\, d_t, \qquad y_t = v_t, \qquad v_0 = 0

    With ``mu=0, step_size=1`` it changes nothing. A constant drive is multiplied by
    :math:`s / (1 - \mu)` in the end.

    Args:
        mu: Momentum :math:`\mu` in [0, 1); in (0, 1) where it is learned.
        step_size: Step size :math:`s`, positive and below a million.
        learnable: Trains both, kept in their ranges by a sigmoid and an exponential. One rule given
            to several layers is shared by them.
        space: ``"gates"``, or ``"hidden"`` for Remark 1 of the paper, equation (10): the gates get
            :math:`U v_t`, with the input weights for :math:`\hat W = U^{-1} W`, gate by gate.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> rule = Momentum(0.5, 1.0)
        >>> y, state = rule.scan(torch.ones(3, 1, 1))
        >>> y.flatten().tolist(), state.velocity.item()
        ([1.0, 1.5, 1.75], 1.75)
    """

    linear = True

    def __init__(
        self,
        mu: float = 0.6,
        step_size: float = 1.0,
        *,
        learnable: bool = False,
        space: str = "gates",
    ) -> None:
        super().__init__(mu, step_size, learnable, space)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> MomentumState:
        """A velocity of zero, ``(B, N)``."""
        return MomentumState(torch.zeros(batch_size, width, **options))

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, MomentumState]:
        """Equation (9)."""
        bounded, gain = self._bounded(drive)
        velocity = torch.add(self.mu * state[0], bounded, alpha=gain)
        return velocity, MomentumState(velocity)

    def velocity(self, state: RuleState) -> Velocity:
        """See :meth:`Rule.velocity`."""
        return Velocity(state[0], self.mu, self.step_size)

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MomentumState]:
        """See :meth:`Rule.scan`."""
        wide, mu = in_float32(drives), self.mu
        (velocity,) = self.fresh_state(wide) if state is None else state
        if isinstance(mu, Tensor):
            mu = mu.to(wide.dtype).expand(wide.shape[0], 1, 1)
        values, last = self._filter(wide, mu, velocity, lengths)
        return values.to(drives.dtype), MomentumState(last)
