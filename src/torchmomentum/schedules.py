"""Nesterov's momentum coefficients and restart intervals, for optimizers and recurrent layers."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

from torchmomentum._checks import check_integer, check_number

__all__ = ["exponential_restarts", "linear_restarts", "nesterov_momentum"]

Step = TypeVar("Step", int, float, Tensor)


def nesterov_momentum(step: Step, restart_every: int | None = None) -> Step | float:
    r"""Nesterov's momentum coefficient, with an optional scheduled restart.

    .. math:: \mu_k = \frac{k \bmod F}{(k \bmod F) + 3}, \qquad k = 0, 1, 2, \dots

    It is zero in the first step and in the first step after each restart. Section 2.4 of the
    MomentumRNN paper writes the same sequence as :math:`(t-1)/(t+2)` for :math:`t = 1, 2, \dots`.
    The restart is that of SRSGD (the slides, "Scheduled Restart SGD").

    Args:
        step: The number of earlier steps, an integer or a tensor of integers.
        restart_every: Steps between restarts :math:`F`, at least 1. None never restarts; with 1 the
            momentum is always zero.

    Returns:
        The coefficient, in [0, 1), of the shape of ``step``.

    Example:
        >>> [nesterov_momentum(k, 3) for k in range(5)]
        [0.0, 0.25, 0.4, 0.0, 0.25]
    """
    inside = step if restart_every is None else step % restart_every
    return inside / (inside + 3)


def _check_intervals(intervals: list[int]) -> list[int]:
    if min(intervals) < 1:
        raise ValueError(f"every restart interval must be at least 1 iteration, got {intervals}")
    return intervals


def linear_restarts(first: int, increment: int, stages: int) -> list[int]:
    """Restart intervals that grow by a constant, ``first + i * increment``.

    Args:
        first: The interval of the first stage, in iterations.
        increment: The difference between successive stages, in iterations. It may be negative.
        stages: The number of stages.

    Returns:
        The interval of each stage.

    Raises:
        TypeError: An argument is no integer.
        ValueError: ``first``, ``stages`` or an interval is below 1.

    Example:
        >>> linear_restarts(30, 30, 4)
        [30, 60, 90, 120]
    """
    first = check_integer("first", first, 1, "iteration")
    increment = check_integer("increment", increment, -math.inf)
    stages = check_integer("stages", stages, 1)
    return _check_intervals([first + i * increment for i in range(stages)])


def exponential_restarts(first: int, ratio: float, stages: int) -> list[int]:
    """Restart intervals that grow by a factor, ``first * ratio**i`` rounded half up.

    Args:
        first: The interval of the first stage, in iterations.
        ratio: The factor between successive stages, positive and finite.
        stages: The number of stages.

    Returns:
        The interval of each stage.

    Raises:
        TypeError: ``first`` or ``stages`` is no integer, or ``ratio`` no number.
        ValueError: An argument is out of its range, or an interval is below 1.

    Example:
        >>> exponential_restarts(40, 1.25, 4)
        [40, 50, 63, 78]
    """
    first = check_integer("first", first, 1, "iteration")
    check_number("ratio", ratio, 0.0, math.inf, open_low=True)
    stages = check_integer("stages", stages, 1)
    return _check_intervals([math.floor(first * ratio**i + 0.5) for i in range(stages)])
