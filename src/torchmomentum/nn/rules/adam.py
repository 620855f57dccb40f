"""Adam's pair of moments."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import check_number
from torchmomentum.nn.rules._rule import RuleState, in_float32
from torchmomentum.nn.rules._scaled import ScaledRule
from torchmomentum.ops import Moments, adam_scan, steps_alive


class AdamState(NamedTuple):
    """The velocity ``v`` and the root ``r`` of the second moment ``m``, each ``(B, N)``."""

    velocity: Tensor
    rms: Tensor


class Adam(ScaledRule):
    r"""Adam's pair of moments, equation (15) of the MomentumRNN paper.

    .. math:: v_t = \mu v_{t-1} + s\, d_t, \qquad m_t = \beta m_{t-1} + (1-\beta)\, d_t^2, \qquad
              y_t = \frac{v_t}{\sqrt{m_t} + \epsilon}, \qquad v_0 = m_0 = 0

    There is no bias correction, as in the paper. The epsilon stands where the paper has it; the
    released code has :math:`\sqrt{m_t + 10^{-16}}`.

    In the papers' form a silent drive makes :math:`y` grow like :math:`(\mu/\sqrt\beta)^k` and its
    gradient become NaN. Here the root :math:`r_t = \sqrt{m_t}` is carried, whose derivatives are
    bounded (:func:`torchmomentum.ops.adam_scan`), and :math:`y` is bounded by 10,000, where every
    gate has long been saturated. Of our cells only an Elman network with ReLU can see this bound.

    Args:
        mu: Momentum :math:`\mu` in [0, 1); in (0, 1) where it is learned.
        step_size: Step size :math:`s`, positive and below a million.
        beta: How much of the second moment is kept each step, in [0, 1).
        eps: What is added to the root, at least 1e-16: its inverse bounds the gradient.
        learnable: Trains ``mu`` and ``step_size``, see :class:`Momentum`.
        space: ``"hidden"`` for Remark 4: the gates get :math:`U y_t`. With
            ``step_size=s * (1 - mu)`` this is equation (14), with the sign of (8) and :math:`m_t`
            where (14) prints :math:`r_t`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> y, _ = Adam(mu=0.0, step_size=1.0, beta=0.75).scan(torch.tensor([[[2.0]]]))
        >>> round(y.item(), 6)  # s / sqrt(1 - beta) at the first step, whatever the drive
        2.0
    """

    def __init__(
        self,
        mu: float = 0.6,
        step_size: float = 1.0,
        beta: float = 0.99,
        eps: float = 1e-8,
        *,
        learnable: bool = False,
        space: str = "gates",
    ) -> None:
        super().__init__(mu, step_size, learnable, space)
        self.beta = check_number("beta", beta, 0.0, 1.0)
        self.eps = check_number("eps", eps, 1e-16, math.inf)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> AdamState:
        """Two zeros, each ``(B, N)``."""
        zero = torch.zeros(batch_size, width, **options)
        return AdamState(zero, zero.clone())

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, AdamState]:
        """See :meth:`Rule.scan`."""
        wide = in_float32(drives)
        velocity, rms = self.fresh_state(wide) if state is None else state
        mask = None if lengths is None else steps_alive(len(drives), lengths)
        numbers: dict[str, Any] = {"mu": self.mu, "gain": self.step_size, "beta": self.beta}
        y, velocity, rms = adam_scan(wide, velocity, rms, **numbers, eps=self.eps, mask=mask)
        return y.to(drives.dtype), AdamState(velocity, rms)

    def moments(self, state: RuleState) -> Moments | None:
        """See :meth:`Rule.moments`."""
        velocity, rms = state
        return Moments(velocity, rms, self.mu, self.step_size, self.beta, self.eps)

    def from_moments(self, velocity: Tensor, rms: Tensor) -> AdamState:
        """See :meth:`Rule.from_moments`."""
        return AdamState(velocity, rms)

    def _hyperparameters(self) -> dict[str, Any]:
        return {**super()._hyperparameters(), "beta": self.beta, "eps": self.eps}
