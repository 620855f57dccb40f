"""A gain alone: what a rule does to the scale, without its momentum."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchmomentum._checks import check_number
from torchmomentum.nn.rules._rule import RuleState, in_float32
from torchmomentum.nn.rules._scaled import LARGEST_STEP_SIZE, ScaledRule


class Gain(ScaledRule):
    r"""The drive times a constant. Our own.

    .. math:: y_t = g\, d_t

    Rules with momentum also multiply a drive that is constant, by :math:`s / (1 - \mu)` in the
    end. That alone may be what helps: ``docs/findings.md`` compares. It has no state, and
    equals :class:`Momentum` with ``mu=0, step_size=gain``.

    Args:
        gain: :math:`g`, positive and below a million.
        learnable: Trains it, kept positive by an exponential.

    Raises:
        ValueError: The gain is out of its range or not finite.
        TypeError: It is not a number.

    Example:
        >>> y, state = Gain(8.0).scan(torch.ones(3, 1, 1))
        >>> y.flatten().tolist(), state
        ([8.0, 8.0, 8.0], ())
    """

    linear = True
    _learns_mu = False

    def __init__(self, gain: float = 1.0, *, learnable: bool = False) -> None:
        check_number("gain", gain, 0.0, LARGEST_STEP_SIZE, open_low=True)
        super().__init__(0.0, gain, learnable)

    @property
    def gain(self) -> float | Tensor:
        """The gain: a number, or where it is learned a positive scalar tensor."""
        return self.step_size

    def initial_state(self, batch_size: int, width: int, **options: Any) -> RuleState:
        """Nothing: there is no state."""
        return ()

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, RuleState]:
        """The drive, bounded, times the gain."""
        drive, gain = self._bounded(drive)
        return drive * gain, ()

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RuleState]:
        """All steps at once."""
        return self.step(in_float32(drives), ())[0].to(drives.dtype), ()

    def _hyperparameters(self) -> dict[str, Any]:
        return {"gain": self.gain, **self._options()}
