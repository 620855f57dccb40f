"""Step sizes that fall in cycles: each explores, then samples."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchmomentum._checks import check_integer, check_number


class CyclicalSteps(LRScheduler):
    r"""The cyclical step sizes of cSGLD (Zhang et al., 2020, equation 1), for any sampler.

    .. math:: s_k = \frac{s_0}{2} \Bigl(\cos(\pi r_k) + 1\Bigr), \qquad
              r_k = \frac{k \bmod L}{L}, \quad k = 0, 1, \dots

    Each cycle of :math:`L` steps begins with large steps, which find another mode, and without
    noise as long as :math:`r_k < \beta`. From there on it samples. A chain of many cycles sees more
    modes than one of falling or constant steps.

    Args:
        sampler: :class:`LMC`, :class:`HMC` or :class:`SGNHT`; the ``lr`` of its groups is
            :math:`s_0`.
        length: Steps of a cycle, :math:`L`, at least 1.
        exploration: The part of a cycle without noise, :math:`\beta`, in [0, 1).
        last_epoch: The steps done so far, less one, where the sampler's state was loaded.

    Raises:
        TypeError: The sampler has no temperature, or an argument is no number.
        ValueError: An argument is out of its range.

    Example:
        >>> x = torch.nn.Parameter(torch.zeros(2))
        >>> sampler = LMC([x], lr=0.1)
        >>> steps = CyclicalSteps(sampler, length=100, exploration=0.5)
        >>> sample(sampler, lambda: (x**2 / 2).sum(), 200, schedule=steps).shape
        torch.Size([200, 2])
    """

    def __init__(
        self, sampler: Optimizer, length: int, exploration: float = 0.0, *, last_epoch: int = -1
    ) -> None:
        if not isinstance(sampler, Optimizer) or "temperature" not in sampler.param_groups[0]:
            raise TypeError(f"{type(sampler).__name__} is no sampler with a temperature")
        self.length = check_integer("length", length, 1, "step")
        self.exploration = check_number("exploration", exploration, 0.0, 1.0)
        if (length - 1) / length < exploration:
            raise ValueError(
                f"exploration must be at most {(length - 1) / length:g}, so that one of {length} "
                f"steps samples, got {exploration}"
            )
        for group in sampler.param_groups:
            group.setdefault("initial_temperature", group["temperature"])
        super().__init__(sampler, last_epoch)

    def _place(self) -> float:
        done = int(max(self.last_epoch, 0))
        length: int = self.length
        return done % length / length

    @property
    def samples(self) -> bool:
        """Whether the next step is one of a sampling stage."""
        return self._place() >= self.exploration

    def get_lr(self) -> list[float | Tensor]:
        """The step sizes; sets the temperatures along with them."""
        for group in self.optimizer.param_groups:
            kept = group.get("initial_temperature", group["temperature"])
            group["temperature"] = kept if self.samples else 0.0
        part = (math.cos(math.pi * self._place()) + 1) / 2
        return [lr * part for lr in self.base_lrs]
