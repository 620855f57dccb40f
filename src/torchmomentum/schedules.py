"""The sequence of momentum coefficients, one definition for optimizers and for recurrent layers."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

__all__ = ["exponential_restarts", "linear_restarts", "nesterov_momentum"]

Step = TypeVar("Step", int, float, Tensor)


def nesterov_momentum(step: Step, restart_every: int | None = None) -> Step | float:
    r"""Nesterov's momentum coefficient, with an optional scheduled restart.

    .. math:: \mu_k = \frac{k \bmod F}{(k \bmod F) + 3}, \qquad k = 0, 1, 2, \dots

    It is zero at the first step and after every restart. The MomentumRNN paper writes
    :math:`(t-1)/(t+2)` for :math:`t = 1, 2, \dots`, which is the same sequence, in section 2.4; the
    restart is that of SRSGD (the slides, "Scheduled Restart SGD").

    Args:
        step: The number of steps done before this one, an integer or a tensor of integers.
        restart_every: Steps between restarts :math:`F`, at least 1; None never restarts. With 1 the
            momentum is always zero.

    Returns:
        The coefficient, in [0, 1), of the same shape as ``step``.

    Example:
        >>> [nesterov_momentum(k, 3) for k in range(5)]
        [0.0, 0.25, 0.4, 0.0, 0.25]
    """
    inside = step if restart_every is None else step % restart_every
    return inside / (inside + 3)


def _check_stages(first: float, stages: int) -> None:
    if not (isinstance(first, int) and first >= 1):
        raise ValueError(f"first must be an integer of at least 1 iteration, got {first!r}")
    if not (isinstance(stages, int) and stages >= 1):
        raise ValueError(f"stages must be an integer of at least 1, got {stages!r}")


def linear_restarts(first: int, increment: int, stages: int) -> list[int]:
    """Restart intervals that grow by a constant, ``first + i * increment``.

    Args:
        first: The interval of the first stage, in iterations.
        increment: What each further stage adds, in iterations.
        stages: How many stages.

    Returns:
        One interval for each stage.

    Raises:
        ValueError: An argument, or an interval that results, is below 1.

    Example:
        >>> linear_restarts(30, 30, 4)
        [30, 60, 90, 120]
    """
    _check_stages(first, stages)
    if not isinstance(increment, int):
        raise ValueError(f"increment must be an integer, got {increment!r}")
    intervals = [first + i * increment for i in range(stages)]
    if min(intervals) < 1:
        raise ValueError(f"every restart interval must be at least 1 iteration, got {intervals}")
    return intervals


def exponential_restarts(first: int, ratio: float, stages: int) -> list[int]:
    """Restart intervals that grow by a factor, ``first * ratio**i`` rounded half up.

    Args:
        first: The interval of the first stage, in iterations.
        ratio: The factor from stage to stage, positive.
        stages: How many stages.

    Returns:
        One interval for each stage.

    Raises:
        ValueError: An argument is out of its range, or an interval that results is below 1.

    Example:
        >>> exponential_restarts(40, 1.25, 4)
        [40, 50, 63, 78]
    """
    _check_stages(first, stages)
    if not 0.0 < ratio < math.inf:
        raise ValueError(f"ratio must be positive and finite, got {ratio!r}")
    intervals = [math.floor(first * ratio**i + 0.5) for i in range(stages)]
    if min(intervals) < 1:
        raise ValueError(f"every restart interval must be at least 1 iteration, got {intervals}")
    return intervals
