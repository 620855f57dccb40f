"""The stochastic-gradient Nosé-Hoover thermostat: a chain that finds its friction."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from torchmomentum._checks import check_integer
from torchmomentum.sampling._langevin import _Sampler


class SGNHT(_Sampler):
    r"""The stochastic-gradient Nosé-Hoover thermostat (Ding et al., 2014, algorithm 2).

    .. math::
        p_t &= p_{t-1} - \xi_{t-1} s\, p_{t-1} - s\, c \nabla f(x_{t-1})
               + \sqrt{2 s A T}\, \epsilon_t, \\
        x_t &= x_{t-1} + s\, p_t, \qquad
        \xi_t = \xi_{t-1} + s\, \Bigl(\tfrac1n \lVert p_t \rVert^2 - T\Bigr)

    :class:`HMC` on mini-batches is too warm: the noise of the gradients adds to its own. Here the
    friction :math:`\xi` grows until the kinetic energy is that of the temperature, whatever the
    noise. Each parameter tensor has a friction of its own, with :math:`n` its elements; with
    ``chains`` each chain of it.

    Args:
        params: Parameters, named parameters or groups of either.
        lr: Step size :math:`s`, positive.
        diffusion: :math:`A`, positive: the noise that is added, and the friction to begin with.
        temperature: :math:`T`, at least 0.
        potential_scale: As for :class:`LMC`.
        chains: How many chains the parameters have in their first dimension; None for one.
        generator: As for :class:`LMC`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> x = torch.nn.Parameter(torch.zeros(20))
        >>> sampler = SGNHT([x], lr=0.1, generator=torch.Generator().manual_seed(0))
        >>> sample(sampler, lambda: (x**2 / 2).sum(), 500, burn_in=100).shape
        torch.Size([500, 20])
    """

    _names = (*_Sampler._names, "diffusion")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        *,
        diffusion: float = 1.0,
        temperature: float = 1.0,
        potential_scale: float = 1.0,
        chains: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "diffusion": diffusion,
            "temperature": temperature,
            "potential_scale": potential_scale,
            "chains": check_integer("chains", chains, 1, optional=True),
        }
        super().__init__(params, defaults, generator)

    def _move(self, p: Tensor, grad: Tensor, s: float, group: dict[str, Any]) -> None:
        state, temperature = self.state[p], group["temperature"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
            real = torch.view_as_real(p) if p.is_complex() else p
            shape = () if group["chains"] is None else (group["chains"], *[1] * (p.dim() - 1))
            state["friction"] = real.new_full(shape, group["diffusion"])
        momentum: Tensor = state["momentum_buffer"]
        friction: Tensor = state["friction"]
        momentum.mul_(1 - s * friction)
        momentum.add_(grad, alpha=-s * group["potential_scale"])
        if temperature:
            spread = 2 * s * group["diffusion"] * temperature
            momentum.add_(self._noise(p), alpha=math.sqrt(spread))
        p.add_(momentum, alpha=s)
        parts = torch.view_as_real(momentum) if momentum.is_complex() else momentum
        energy = parts.square().reshape(group["chains"] or 1, -1).mean(1)
        friction.add_(energy.view(friction.shape) - temperature, alpha=s)
