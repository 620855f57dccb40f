"""Runs a sampler and collects its samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchmomentum._checks import check_integer
from torchmomentum.sampling._cyclical import CyclicalSteps


class DivergedError(RuntimeError):
    """The potential is infinite or NaN: the step size is too large."""


def _position(sampler: Optimizer, chains: int | None) -> Tensor:
    params = [p.detach() for group in sampler.param_groups for p in group["params"]]
    if chains is None:
        return torch.cat([p.flatten() for p in params])
    return torch.cat([p.reshape(chains, -1) for p in params], 1)


def _check_chains(sampler: Optimizer, chains: int) -> None:
    check_integer("chains", chains, 1)
    for group in sampler.param_groups:
        for p in group["params"]:
            if p.dim() == 0 or p.shape[0] != chains:
                raise ValueError(
                    f"each parameter must have {chains} chains in its first dimension, got "
                    f"{list(p.shape)}"
                )
        if group.get("chains", chains) != chains:
            raise ValueError(f"the sampler must be made with chains={chains}")


def sample(
    sampler: Optimizer,
    potential: Callable[[], Tensor],
    count: int,
    *,
    burn_in: int = 0,
    thinning: int = 1,
    collect: Callable[[], Tensor] | None = None,
    chains: int | None = None,
    schedule: CyclicalSteps | None = None,
) -> Tensor:
    """Runs a chain, or several at once, and returns the samples.

    Args:
        sampler: :class:`LMC`, :class:`HMC`, :class:`SGNHT`, or any optimizer.
        potential: Returns the potential at the current parameters, a scalar. It may use a new
            mini-batch in each call. With ``chains`` it returns each chain's, ``(chains,)``.
        count: The number of samples of a chain, at least 1.
        burn_in: The number of steps before the first sample's, at least 0.
        thinning: The number of steps per sample, at least 1.
        collect: Returns the tensor to store as a sample, with ``chains`` one for each, ``(chains,
            ...)``; by default all parameters, flattened.
        chains: How many chains run at once. Each parameter then has them in its first dimension.
        schedule: Step sizes in cycles. Only the steps of sampling stages count for ``thinning`` and
            give samples.

    Returns:
        The samples, ``(count, ...)``, or ``(chains, count, ...)``.

    Raises:
        TypeError: ``count``, ``burn_in``, ``thinning`` or ``chains`` is not an integer.
        ValueError: One of them is out of its range, or a parameter or the potential has not the
            chains in its first dimension.
        DivergedError: The potential is infinite or NaN.
    """
    check_integer("count", count, 1)
    check_integer("burn_in", burn_in, 0)
    check_integer("thinning", thinning, 1)
    if chains is not None:
        _check_chains(sampler, chains)
    if schedule is not None and getattr(schedule, "optimizer", None) is not sampler:
        raise ValueError("schedule must be the CyclicalSteps of this sampler")
    expected = () if chains is None else (chains,)

    def closure() -> Tensor:
        sampler.zero_grad()
        value = potential()
        if chains is not None and value.shape != expected:
            raise ValueError(f"the potential must be {expected}, got {tuple(value.shape)}")
        value.sum().backward()
        return value.detach()

    found: list[Tensor] = []
    advance: Any = sampler.step  # whose closure is declared to return a number
    step = done = 0
    while len(found) < count:
        counts = schedule is None or schedule.samples
        value = torch.as_tensor(advance(closure))
        step += 1
        if not torch.isfinite(value).all():
            raise DivergedError(
                f"the potential is {value.tolist()} in step {step}; use a smaller step size"
            )
        if schedule is not None:
            schedule.step()
        done += counts and step > burn_in
        if counts and step > burn_in and done % thinning == 0:
            made = _position(sampler, chains) if collect is None else collect().detach().clone()
            found.append(made)
    return torch.stack(found, 0 if chains is None else 1)
