"""What the papers' rules share: a bounded drive, a step size and a momentum, fixed or learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_bool, check_choice, check_number
from torchmomentum.nn.rules._rule import SPACES, Rule, last_step
from torchmomentum.ops import largest_drive, linear_scan

_LARGEST_LEARNED_MU = 1 - 2.0**-20  # a sigmoid alone would round to 1
LARGEST_STEP_SIZE = 1e6  # so that no gradient overflows; the papers' are at most 2


def bounded(drive: Tensor, gain: float = 1.0) -> Tensor:
    """Clamps a drive so that sums of ``gain`` times it stay finite.

    The bound is the root of the largest finite number, divided by the gain where that is above 1.
    """
    bound = largest_drive(drive, gain)
    return drive.clamp(-bound, bound)


def _listed(hyperparameters: Mapping[str, Any]) -> str:
    """Hyperparameters as they are now; one on the meta device has no value."""
    shown: list[str] = []
    for name, value in hyperparameters.items():
        text = f"{value:g}" if isinstance(value, float) else repr(value)
        if isinstance(value, Tensor):
            text = "?" if value.is_meta else f"{value.item():.4g}"
        shown.append(f"{name}={text}")
    return ", ".join(shown)


def _scalar(parameter: Tensor) -> Tensor:
    """A learned parameter as a scalar; one that is sharded has a value in a forward alone."""
    if hasattr(parameter, "full_tensor"):  # a DTensor
        return torch.empty((), dtype=parameter.dtype, device="meta")
    return parameter.squeeze(0)


class ScaledRule(Rule):
    """A rule with a step size and a momentum, each a number or learned.

    A learned momentum is a sigmoid, so that it stays in (0, 1); a learned step size is an
    exponential, so that it stays positive.
    """

    _learns_mu = True

    def __init__(
        self, mu: float, step_size: float, learnable: bool, space: str = SPACES[0]
    ) -> None:
        super().__init__()
        check_choice("space", space, SPACES)
        self.space = space
        self._initial_mu = check_number("mu", mu, 0.0, 1.0)
        self._initial_step_size = check_number(
            "step_size", step_size, 0.0, LARGEST_STEP_SIZE, open_low=True
        )
        check_bool("learnable", learnable)
        self.learnable = learnable
        if learnable:
            # of one element: fully_shard takes no scalars
            self.log_step_size = nn.Parameter(torch.empty(1))
            if self._learns_mu:
                if self._initial_mu == 0.0:
                    raise ValueError("mu must be in (0, 1) where it is learned, got 0.0")
                self.logit_mu = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if not self.learnable:
            return
        with torch.no_grad():
            self.log_step_size.fill_(math.log(self._initial_step_size))
            if self._learns_mu:
                odds = self._initial_mu / (1 - self._initial_mu)
                self.logit_mu.fill_(math.log(odds))

    @property
    def step_size(self) -> float | Tensor:
        """The step size :math:`s`: a number, or where it is learned a positive scalar tensor."""
        return _scalar(self.log_step_size).exp() if self.learnable else self._initial_step_size

    @property
    def mu(self) -> float | Tensor:
        r"""The momentum :math:`\mu`: a number, or where it is learned a scalar tensor in (0, 1)."""
        if self.learnable and self._learns_mu:
            logit = _scalar(self.logit_mu).to(
                torch.promote_types(self.logit_mu.dtype, torch.float32)
            )
            return torch.sigmoid(logit).clamp(max=_LARGEST_LEARNED_MU)
        return self._initial_mu

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Loads scalars too, as older versions saved them."""
        for name, parameter in self.named_parameters(recurse=False):
            given = state_dict.get(prefix + name)
            if isinstance(given, Tensor) and given.dim() == 0:
                state_dict[prefix + name] = given.reshape(parameter.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _bounded(self, drive: Tensor) -> tuple[Tensor, float]:
        """The bounded drive, and what it has still to be multiplied by to be ``s d_t``."""
        drive, gain = self._scaled(drive)
        return bounded(drive, gain), gain

    def _scaled(self, drive: Tensor) -> tuple[Tensor, float]:
        """A drive times what is learned of the step size, and the rest of it."""
        step_size = self.step_size
        if isinstance(step_size, Tensor):
            return drive * step_size.to(drive.dtype), 1.0
        return drive, step_size

    def _filter(
        self, drives: Tensor, decay: Tensor | float, velocity: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """``v_t = decay_t v_{t-1} + s d_t`` at all steps, and at each sequence's last."""
        drives, gain = self._scaled(drives)
        bound = largest_drive(drives, gain)
        values = linear_scan(drives, decay, velocity, gain=gain, bound=bound, internal=True)
        return values, last_step(values, lengths)

    def extra_repr(self) -> str:
        """The hyperparameters as :func:`repr` shows them."""
        return _listed(self._hyperparameters())

    def described(self) -> str:
        """The rule and its hyperparameters that are not learned."""
        if not self.learnable:
            return super().described()
        fixed = {k: v for k, v in self._hyperparameters().items() if not isinstance(v, Tensor)}
        return f"{type(self).__name__}({_listed(fixed)})"

    def _hyperparameters(self) -> dict[str, Any]:
        """All of them in the order in which they are shown; what is learned is a tensor."""
        return {"mu": self.mu, "step_size": self.step_size, **self._options()}

    def _options(self) -> dict[str, Any]:
        """Those that are not at their defaults."""
        options: dict[str, Any] = {"learnable": True} if self.learnable else {}
        return options if self.space == SPACES[0] else {**options, "space": self.space}
