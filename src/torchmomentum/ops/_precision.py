"""The one place that decides in which type a problem is computed.

Autocast's type is that of input, states and weights. Half precision is computed in float32 inside,
states and sums above all, and returned in its own type: kernels that multiply in bfloat16 take
the products from the input's type. A rule's moments are float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from torchmomentum._tuples import changed
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cells import State

HALF = (torch.bfloat16, torch.float16)


def autocast(problem: Problem) -> Problem:
    """The problem in the type that autocast asks for, if it does; float64 is left alone."""
    kind = problem.x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # meta has no autocast to ask
        return problem
    if problem.x.dtype == torch.float64:
        return problem
    dtype, modifiers = torch.get_autocast_dtype(kind), problem.modifiers
    return changed(problem.to(dtype), modifiers=modifiers)


def in_float32(run: Callable[[Problem], State]) -> Callable[[Problem], State]:
    """Has a backend compute half precision in float32, and returns it in its own type."""

    def wide(problem: Problem) -> State:
        dtype = problem.x.dtype
        if dtype not in HALF:
            return run(problem)
        count = 1 + len(problem.state)
        found = run(problem.to(torch.float32))
        return *[x.to(dtype) for x in found[:count]], *found[count:]

    return wide
