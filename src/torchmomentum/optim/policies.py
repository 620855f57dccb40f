"""Restart policies: when Nesterov's momentum is reset. They are plain values for a state dict."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torchmomentum._checks import check_choice, check_integer

ADAPTIVE = ("function", "gradient")
POLICY_NAMES = ("restart", "restart_every")  # what constructors and groups call a policy

# None never restarts; an integer F restarts every F iterations; in [(T_1, F_1), ...] F_i is the
# interval up to iteration T_i; "function" and "gradient" restart when progress stops
Policy = int | str | list[tuple[int, int]] | None


def check_interval(name: str, value: Any) -> int | None:
    """Checks a restart interval: None, or an integer of at least 1 iteration."""
    found: int | None = check_integer(name, value, 1, "iteration", optional=True)
    return found


def check_policy(name: str, value: Any) -> Policy:
    """Checks a restart policy and returns it as plain values.

    Raises:
        TypeError: ``value`` is not None, an integer, a string, or a sequence of pairs.
        ValueError: An unknown name, an interval below 1, or iterations that do not increase.
    """
    if isinstance(value, str):
        check_choice(name, value, ADAPTIVE)
        return value
    if not isinstance(value, Sequence):
        return check_interval(name, value)
    schedule: list[tuple[int, int]] = []
    for part in value:
        if not isinstance(part, Sequence) or len(part) != 2:
            raise TypeError(
                f"{name} must be made of pairs (last iteration, interval), got {part!r}"
            )
        last = check_integer(f"{name}: a last iteration", part[0], 1, "iteration")
        schedule.append((last, check_integer(f"{name}: an interval", part[1], 1, "iteration")))
    if not schedule:
        raise ValueError(f"{name} must have at least one pair (last iteration, interval), got none")
    lasts = [last for last, _ in schedule]
    if any(b <= a for a, b in itertools.pairwise(lasts)):
        raise ValueError(f"{name} must have increasing last iterations, got {lasts}")
    return schedule


def interval_after(policy: Policy, iteration: int) -> int | None:
    """The restart interval in force after ``iteration`` iterations; None without a schedule.

    The last interval of a schedule stays in force.
    """
    if policy is None or isinstance(policy, str):
        return None
    if isinstance(policy, int):
        return policy
    for last, interval in policy:
        if iteration <= last:
            return interval
    return policy[-1][1]
