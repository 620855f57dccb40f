"""Runs a sampler and collects its samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchmomentum._checks import check_integer


class DivergedError(RuntimeError):
    """The potential is infinite or NaN: the step size is too large."""


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
    """Runs a chain and returns its samples.

    Args:
        sampler: :class:`LMC`, :class:`HMC`, or any optimizer.
        potential: Returns the potential at the current parameters, a scalar. It may use a new
            mini-batch in each call.
        count: The number of samples, at least 1.
        burn_in: The number of steps before the first sample's, at least 0.
        thinning: The number of steps per sample, at least 1.
        collect: Returns the tensor to store as a sample; by default all parameters, flattened.

    Returns:
        The samples, ``(count, ...)``.

    Raises:
        TypeError: ``count``, ``burn_in`` or ``thinning`` is not an integer.
        ValueError: One of them is out of its range.
        DivergedError: The potential is infinite or NaN.
    """
    check_integer("count", count, 1)
    check_integer("burn_in", burn_in, 0)
    check_integer("thinning", thinning, 1)

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
                f"the potential is {value} in step {step + 1}; use a smaller step size"
            )
        done = step + 1 - burn_in
        if done > 0 and done % thinning == 0:
            found.append(_position(sampler) if collect is None else collect().detach().clone())
    return torch.stack(found)
