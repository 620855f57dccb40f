"""RMSProp: Adam's second moment alone."""

from __future__ import annotations

from typing import Any

from torchmomentum.nn.rules.adam import Adam


class RMSProp(Adam):
    r"""RMSProp: :class:`Adam` with :math:`\mu = 0`, after equation (15) of the MomentumRNN paper.

    .. math:: m_t = \beta m_{t-1} + (1-\beta)\, d_t^2, \qquad
              y_t = \frac{s\, d_t}{\sqrt{m_t} + \epsilon}

    Args:
        step_size: Step size :math:`s`, positive and below a million.
        beta: How much of the second moment is kept each step, in [0, 1).
        eps: What is added to the root, at least 1e-16.
        learnable: Trains the step size, kept positive by an exponential.
        space: See :class:`Adam`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> RMSProp(step_size=0.6, beta=0.9)
        RMSProp(step_size=0.6, beta=0.9, eps=1e-08)
    """

    _learns_mu = False

    def __init__(
        self,
        step_size: float = 1.0,
        beta: float = 0.9,
        eps: float = 1e-8,
        *,
        learnable: bool = False,
        space: str = "gates",
    ) -> None:
        super().__init__(0.0, step_size, beta, eps, learnable=learnable, space=space)

    def _hyperparameters(self) -> dict[str, Any]:
        shown = super()._hyperparameters()
        del shown["mu"]
        return shown
