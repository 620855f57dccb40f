"""Langevin and Hamiltonian Monte Carlo: gradient steps with noise, as PyTorch optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from torchmomentum._checks import check_choice, check_number


def _check(name: str, value: Any) -> None:
    if name == "lr" and isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        value = value.item()
    check_number(name, value, 0.0, math.inf, open_low=name != "temperature")


class _Sampler(Optimizer):
    """What both samplers share: the loop over parameters, and the noise with its generator."""

    _names: tuple[str, ...] = ("lr", "temperature", "potential_scale")

    def __init__(
        self, params: ParamsT, defaults: dict[str, Any], generator: torch.Generator | None
    ) -> None:
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator must be a torch.Generator or None, got {type(generator).__name__}"
            )
        self.generator = generator
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters and checks its hyperparameters."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for name in self._names:
                _check(name, group[name])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the generator's, so that a resumed run draws the same noise."""
        found = super().state_dict()
        if self.generator is not None:
            found["generator"] = self.generator.get_state()
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the result of :meth:`state_dict`."""
        kept = dict(state_dict)
        drawn = kept.pop("generator", None)
        super().load_state_dict(kept)
        if drawn is not None and self.generator is not None:
            self.generator.set_state(drawn.cpu())

    def __getstate__(self) -> dict[str, Any]:
        kept: dict[str, Any] = super().__getstate__()
        return {**kept, "generator": self.generator}

    def _noise(self, like: Tensor) -> Tensor:
        noise = torch.empty_like(like)
        # the real and the imaginary part are independent coordinates
        parts = torch.view_as_real(noise) if noise.is_complex() else noise
        parts.normal_(generator=self.generator)
        return noise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step.

        Args:
            closure: Computes the potential and its gradients, and returns the potential.

        Returns:
            What the closure returned, or None.
        """
        potential = None
        if closure is not None:
            with torch.enable_grad():
                potential = closure()
        for group in self.param_groups:
            lr = float(group["lr"])  # read once: with a tensor on a GPU this synchronizes
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, lr, group)
        return potential

    def _move(self, p: Tensor, grad: Tensor, s: float, group: dict[str, Any]) -> None:
        raise NotImplementedError


class LMC(_Sampler):
    r"""Langevin Monte Carlo, equation (4) of the MomentumRNN paper.

    .. math:: x_t = x_{t-1} - s\, c \nabla f(x_{t-1}) + \sqrt{2 s T}\, \epsilon_t, \qquad
              \epsilon_t \sim \mathcal{N}(0, I)

    It samples :math:`\pi \propto \exp(-c f / T)` with a bias of first order in the step size. The
    paper prints :math:`\nabla f(x_t)`, which would be an implicit step.

    Args:
        params: Parameters, named parameters or groups of either.
        lr: Step size :math:`s`, positive.
        temperature: :math:`T`, at least 0; 0 gives gradient descent.
        potential_scale: :math:`c`, positive. For a mean loss over a mini-batch, the size of the
            training set, so that :math:`c f` estimates the sum over it.
        generator: Draws the noise, on the parameters' device; by default PyTorch's own.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> x = torch.nn.Parameter(torch.zeros(2))
        >>> sampler = LMC([x], lr=0.01, generator=torch.Generator().manual_seed(0))
        >>> sample(sampler, lambda: (x**2 / 2).sum(), 500, burn_in=100).shape
        torch.Size([500, 2])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        temperature: float = 1.0,
        potential_scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        defaults = {"lr": lr, "temperature": temperature, "potential_scale": potential_scale}
        super().__init__(params, defaults, generator)

    def _move(self, p: Tensor, grad: Tensor, s: float, group: dict[str, Any]) -> None:
        p.add_(grad, alpha=-s * group["potential_scale"])
        if group["temperature"]:
            p.add_(self._noise(p), alpha=math.sqrt(2 * s * group["temperature"]))


class HMC(_Sampler):
    r"""Hamiltonian Monte Carlo with friction, equation (5) of the MomentumRNN paper.

    .. math::
        p_t = p_{t-1} - \gamma s\, p_{t-1} - s \eta\, c \nabla f(x_{t-1})
              + \sqrt{2 \gamma s \eta T}\, \epsilon_t, \qquad x_t = x_{t-1} + s\, p_t

    For small steps it samples :math:`\pi \propto \exp(-c f / T)` and
    :math:`p \sim \mathcal{N}(0, \eta T I)`. On a quadratic potential the variance of :math:`x` is
    biased at second order in the step size and that of :math:`p` at first order: it is close to
    :math:`\eta T / (1 - \gamma s / 2)`, which is exact where the potential is flat. Other names are
    underdamped Langevin dynamics and stochastic-gradient Hamiltonian Monte Carlo: no step is
    accepted or rejected.

    Args:
        params: Parameters, named parameters or groups of either.
        lr: Step size :math:`s`, positive.
        friction: :math:`\gamma`, positive, with :math:`\gamma s < 2`.
        inverse_mass: :math:`\eta`, positive.
        temperature: :math:`T`, at least 0; 0 gives gradient descent with momentum.
        potential_scale: As for :class:`LMC`.
        start: The first momentum :math:`p_0`: ``"zero"``, or ``"position"`` for :math:`p_0 = x_0`
            as in the paper.
        generator: As for :class:`LMC`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> x = torch.nn.Parameter(torch.zeros(2))
        >>> sampler = HMC([x], lr=0.1, friction=1.0, generator=torch.Generator().manual_seed(0))
        >>> sample(sampler, lambda: (x**2 / 2).sum(), 500, burn_in=100).shape
        torch.Size([500, 2])
    """

    _names = (*_Sampler._names, "friction", "inverse_mass")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        *,
        friction: float = 1.0,
        inverse_mass: float = 1.0,
        temperature: float = 1.0,
        potential_scale: float = 1.0,
        start: str = "zero",
        generator: torch.Generator | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "friction": friction,
            "inverse_mass": inverse_mass,
            "temperature": temperature,
            "potential_scale": potential_scale,
            "start": start,
        }
        super().__init__(params, defaults, generator)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters and checks its hyperparameters."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_choice("start", group["start"], ("zero", "position"))
            decay = group["friction"] * float(group["lr"])
            if decay >= 2.0:
                raise ValueError(
                    f"friction times lr must be below 2, or the momentum diverges, got {decay:g}"
                )
        except ValueError:
            self.param_groups.pop()
            raise

    def _move(self, p: Tensor, grad: Tensor, s: float, group: dict[str, Any]) -> None:
        state, eta = self.state[p], group["inverse_mass"]
        if "momentum_buffer" not in state:
            first = p if group["start"] == "position" else torch.zeros_like(p)
            state["momentum_buffer"] = first.clone(memory_format=torch.preserve_format)
        momentum: Tensor = state["momentum_buffer"]
        momentum.mul_(1 - group["friction"] * s)
        momentum.add_(grad, alpha=-s * eta * group["potential_scale"])
        if group["temperature"]:
            spread = 2 * group["friction"] * s * eta * group["temperature"]
            momentum.add_(self._noise(p), alpha=math.sqrt(spread))
        p.add_(momentum, alpha=s)
