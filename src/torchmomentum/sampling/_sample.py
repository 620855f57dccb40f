"""Collects what a sampler visits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class DivergedError(RuntimeError):
    """A chain has left the finite numbers: the step size is too large."""


def _position(sampler: Optimizer) -> Tensor:
    params = [p for group in sampler.param_groups for p in group["params"]]
    return torch.cat([p.detach().flatten() for p in params])


def sample(
    sampler: Optimizer,
    potential: Callable[[], Tensor],
    count: int,
    *,
    burn_in: int = 0,
    thinning: int = 1,
    collect: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Runs a chain and collects it.

    Args:
        sampler: :class:`LMC`, :class:`HMC`, or any optimizer.
        potential: The potential at the parameters, a scalar; over a new mini-batch each time where
            it is one over data.
        count: How many samples, at least 1.
        burn_in: Steps that are thrown away first.
        thinning: Steps from one sample to the next, at least 1.
        collect: What of a state is kept, a tensor; by default all parameters, flattened.

    Returns:
        The samples, ``(count, ...)``.

    Raises:
        ValueError: A count below its least.
        DivergedError: The potential is no longer finite.
    """
    for name, given, least in (
        ("count", count, 1),
        ("burn_in", burn_in, 0),
        ("thinning", thinning, 1),
    ):
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {given!r}")

    def closure() -> Tensor:
        sampler.zero_grad()
        value = potential()
        value.backward()
        return value.detach()

    found: list[Tensor] = []
    advance: Any = sampler.step  # whose closure is declared to return a number
    for step in range(burn_in + count * thinning):
        value = float(advance(closure))
        if not math.isfinite(value):
            raise DivergedError(
                f"the potential is {value} after {step + 1} steps; take a smaller step size"
            )
        done = step + 1 - burn_in
        if done > 0 and done % thinning == 0:
            found.append(_position(sampler) if collect is None else collect().detach().clone())
    return torch.stack(found)
