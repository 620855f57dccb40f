"""Changes an optimizer's restart interval during training."""

from __future__ import annotations

import copy
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from torchmomentum._checks import check_integer
from torchmomentum.optim.policies import POLICY_NAMES, check_interval
from torchmomentum.schedules import exponential_restarts, linear_restarts


class RestartScheduler:
    """Sets the restart interval of :class:`SRSGD` or :class:`NAG` by stages.

    Intervals count iterations, that is steps of the optimizer. Milestones count calls of
    :meth:`step`: epochs if it is called once an epoch, iterations if it is called in each. All
    parameter groups get the same interval. Nothing else is changed, so any learning-rate
    scheduler can be used with it.

    A momentum cycle that is under way at a milestone continues and ends after the new interval. In
    the slides each interval I_i starts a new cycle: set ``restart_at_milestones``.

    Args:
        optimizer: An optimizer with ``restart_every`` or ``restart`` in its groups.
        milestones: The calls of :meth:`step` at which a new stage begins, at least 1, increasing.
        restart_every: The interval of each stage, one more than milestones; None never restarts.
        restart_at_milestones: Whether each milestone starts a new momentum cycle.

    Raises:
        TypeError: The optimizer has neither, or a number is not an integer.
        ValueError: Milestones do not increase, an interval is below 1, or the number of intervals
            is wrong.

    Example:
        >>> optimizer = SRSGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> scheduler = RestartScheduler(optimizer, milestones=[80], restart_every=[30, 60])
        >>> for epoch in range(100):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["restart_every"]
        60
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        restart_every: Sequence[int | None],
        *,
        restart_at_milestones: bool = False,
    ) -> None:
        if not isinstance(optimizer, Optimizer) or not {*POLICY_NAMES} & {*optimizer.defaults}:
            raise TypeError(f"{type(optimizer).__name__} is no optimizer with scheduled restarts")
        milestones = [check_integer("each milestone", value, 1) for value in milestones]
        intervals = [check_interval("restart_every", interval) for interval in restart_every]
        if any(b <= a for a, b in itertools.pairwise(milestones)):
            raise ValueError(f"milestones must increase, got {milestones}")
        if len(intervals) != len(milestones) + 1:
            raise ValueError(
                "restart_every must have one interval for each of the "
                f"{len(milestones) + 1} stages, got {len(intervals)}"
            )
        self.optimizer = optimizer
        self.milestones = milestones
        self.restart_every = intervals
        self.restart_at_milestones = restart_at_milestones
        self.last_epoch = 0
        self._apply()

    @classmethod
    def linear(
        cls,
        optimizer: Optimizer,
        milestones: Sequence[int],
        first: int,
        increment: int,
        stages: int | None = None,
        **options: Any,
    ) -> RestartScheduler:
        """Intervals that grow by a constant: :func:`~torchmomentum.schedules.linear_restarts`.

        Example:
            >>> optimizer = SRSGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
            >>> RestartScheduler.linear(optimizer, [80, 120, 160], 30, 30).restart_every
            [30, 60, 90, 120]
        """
        stages = len(milestones) + 1 if stages is None else stages
        return cls(optimizer, milestones, linear_restarts(first, increment, stages), **options)

    @classmethod
    def exponential(
        cls,
        optimizer: Optimizer,
        milestones: Sequence[int],
        first: int,
        ratio: float,
        stages: int | None = None,
        **options: Any,
    ) -> RestartScheduler:
        """Intervals that grow by a factor: :func:`~torchmomentum.schedules.exponential_restarts`.

        Example:
            >>> optimizer = SRSGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
            >>> RestartScheduler.exponential(optimizer, [80, 120, 160], 40, 1.25).restart_every
            [40, 50, 63, 78]
        """
        stages = len(milestones) + 1 if stages is None else stages
        return cls(optimizer, milestones, exponential_restarts(first, ratio, stages), **options)

    def get_last_restart_every(self) -> int | None:
        """The interval in force, in iterations."""
        return self.restart_every[bisect_right(self.milestones, self.last_epoch)]

    def _apply(self) -> None:
        name = next(name for name in POLICY_NAMES if name in self.optimizer.defaults)
        for group in self.optimizer.param_groups:
            group[name] = self.get_last_restart_every()

    def step(self) -> None:
        """Advances the schedule by one. Call it once an epoch, or once an iteration."""
        self.last_epoch += 1
        self._apply()
        if self.restart_at_milestones and self.last_epoch in self.milestones:
            for group in self.optimizer.param_groups:
                if isinstance(group["cycle_step"], Tensor):
                    group["cycle_step"].zero_()  # where a captured step reads it
                else:
                    group["cycle_step"] = 0

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's state, without the optimizer's."""
        kept = {key: value for key, value in self.__dict__.items() if key != "optimizer"}
        return copy.deepcopy(kept)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the result of :meth:`state_dict` and sets the interval in force."""
        self.__dict__.update(copy.deepcopy(state_dict))
        self._apply()
