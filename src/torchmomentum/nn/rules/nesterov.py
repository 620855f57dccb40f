"""Nesterov's growing momentum, with an optional scheduled restart."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import check_integer
from torchmomentum.nn.rules._rule import RuleState, in_float32
from torchmomentum.nn.rules._scaled import ScaledRule
from torchmomentum.schedules import nesterov_momentum


class NesterovState(NamedTuple):
    """The velocity ``v``, ``(B, N)``, and the number of steps done, ``(B,)``."""

    velocity: Tensor
    step: Tensor


class ScheduledRule(ScaledRule):
    r"""A rule whose momentum :math:`\mu_t` follows Nesterov's schedule."""

    _learns_mu = False

    def __init__(
        self, step_size: float, restart: int | None, learnable: bool, space: str = "gates"
    ) -> None:
        restart = check_integer("restart", restart, 1, "step", optional=True)
        super().__init__(0.0, step_size, learnable, space)
        self.restart = restart

    def _coefficient(self, step: Tensor, dtype: torch.dtype) -> Tensor:
        r""":math:`\mu_t` after so many steps."""
        exact: Any = nesterov_momentum(step.to(torch.float64), self.restart)
        made: Tensor = exact.to(dtype)
        return made

    def _hyperparameters(self) -> dict[str, Any]:
        return {"step_size": self.step_size, "restart": self.restart, **self._options()}


class Nesterov(ScheduledRule):
    r"""Nesterov's growing momentum with an optional scheduled restart, section 2.4 of the paper.

    .. math:: v_t = \mu_t v_{t-1} + s\, d_t, \qquad y_t = v_t, \qquad
              \mu_t = \frac{(t-1) \bmod F}{((t-1) \bmod F) + 3}

    The paper prints :math:`t \bmod F`. Counting from the step before makes the momentum zero at the
    first step and at each restart, and equals the paper's :math:`(t-1)/(t+2)` without restart. This
    is the paper's form of the SRLSTM; the released code's is :class:`NesterovLookahead`.

    Args:
        step_size: Step size :math:`s`, positive and below a million.
        restart: Steps between restarts :math:`F`, at least 1; None never restarts.
        learnable: Trains the step size, kept positive by an exponential.
        space: See :class:`Momentum`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> y, _ = Nesterov(1.0, restart=2).scan(torch.ones(4, 1, 1))
        >>> y.flatten().tolist()
        [1.0, 1.25, 1.0, 1.25]
    """

    linear = True

    def __init__(
        self,
        step_size: float = 1.0,
        restart: int | None = None,
        *,
        learnable: bool = False,
        space: str = "gates",
    ) -> None:
        super().__init__(step_size, restart, learnable, space)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> NesterovState:
        """A velocity of zero, ``(B, N)``, and a count of zero steps, ``(B,)``."""
        velocity = torch.zeros(batch_size, width, **options)
        return NesterovState(
            velocity, torch.zeros(batch_size, dtype=torch.long, device=velocity.device)
        )

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, NesterovState]:
        """Section 2.4."""
        velocity, step = state
        mu = self._coefficient(step, velocity.dtype).unsqueeze(-1)  # (B, 1)
        drive, gain = self._bounded(drive)
        velocity = mu * velocity + (drive if gain == 1.0 else drive * gain)
        return velocity, NesterovState(velocity, step + 1)

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, NesterovState]:
        """See :meth:`Rule.scan`."""
        time, wide = drives.shape[0], in_float32(drives)
        steps = torch.arange(time, device=drives.device).unsqueeze(-1)  # (T, 1)
        if state is None:  # one count for the whole batch: the filter is then a matrix product
            velocity, count = self.fresh_state(wide)
        else:
            velocity, count = state
            steps = steps + count  # (T, B)
        decay = self._coefficient(steps, wide.dtype).unsqueeze(-1)  # (T, B or 1, 1)
        values, last = self._filter(wide, decay, velocity, lengths)
        done = time if lengths is None else lengths
        return values.to(drives.dtype), NesterovState(last, count + done)
