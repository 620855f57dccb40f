"""Changes an optimizer's restart interval during training."""

from __future__ import annotations

import copy
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchmomentum._checks import check_integer
from torchmomentum.optim.policies import POLICY_NAMES, check_interval
from torchmomentum.schedules import exponential_restarts, linear_restarts

Intervals = Sequence[int | None]
_OWN = "own_restart_every"  # whether a group has an interval of its own, seen once


def _policy_name(optimizer: Any) -> str:
    groups = optimizer.param_groups if isinstance(optimizer, Optimizer) else [{}]
    for name in POLICY_NAMES:
        if name in groups[0]:
            return name
    raise TypeError(f"{type(optimizer).__name__} is no optimizer with scheduled restarts")


class RestartScheduler(LRScheduler):
    """Sets the restart interval of :class:`SRSGD` or :class:`NAG` by stages.

    Intervals count iterations, that is steps of the optimizer. Milestones count calls of
    :meth:`step`: epochs if it is called once an epoch, iterations if it is called in each. The
    learning rate is left alone. It is a learning-rate scheduler only in its interface, so that
    whatever calls those (PyTorch's ``SequentialLR``, Lightning, Accelerate) calls it, and it goes
    together with any of them.

    A parameter group that was given an interval other than the optimizer's keeps it. To schedule
    those too, pass the stages of each group.

    A momentum cycle that is under way at a milestone continues and ends after the new interval. In
    the slides each interval I_i starts a new cycle: set ``restart_at_milestones``.

    Args:
        optimizer: An optimizer with ``restart_every`` or ``restart`` in its groups.
        milestones: The calls of :meth:`step` at which a new stage begins, at least 1, increasing.
        restart_every: The interval of each stage, one more than milestones; None never restarts.
            Or one such list for each parameter group.
        restart_at_milestones: Whether each milestone starts a new momentum cycle.
        last_epoch: The calls of :meth:`step` made so far, less one, where the optimizer's state was
            loaded.

    Raises:
        TypeError: The optimizer has neither, or a number is not an integer.
        ValueError: Milestones do not increase, an interval is below 1, the number of intervals or
            lists is wrong, or each group has an interval of its own and there is one list for all.

    Example:
        >>> optimizer = SRSGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> scheduler = RestartScheduler(optimizer, milestones=[80], restart_every=[30, 60])
        >>> for epoch in range(100):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_restart_every()
        [60]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        restart_every: Intervals | Sequence[Intervals],
        *,
        restart_at_milestones: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = _policy_name(optimizer)
        milestones = [check_integer("each milestone", value, 1) for value in milestones]
        if any(b <= a for a, b in itertools.pairwise(milestones)):
            raise ValueError(f"milestones must increase, got {milestones}")
        self._name = name
        self.optimizer = optimizer
        self.milestones = milestones
        self.restart_every = self._check(restart_every)
        self.restart_at_milestones = restart_at_milestones
        self._stage: int | None = None
        super().__init__(optimizer, last_epoch)

    def _check(self, restart_every: Any) -> list[Any]:
        groups, stages = self.optimizer.param_groups, len(self.milestones) + 1
        of_each = [value for value in restart_every if isinstance(value, Sequence)]
        if not of_each and not any(map(self._follows, groups)):
            raise ValueError(
                "each parameter group has a restart interval of its own, "
                f"{self.get_last_restart_every()}: pass restart_every as one list for each"
            )
        if of_each and not len(of_each) == len(restart_every) == len(groups):
            raise ValueError(
                "restart_every must be one interval for each stage, or a list of them for each of "
                f"the {len(groups)} parameter groups, got {restart_every!r}"
            )
        lists = [
            [check_interval("restart_every", interval) for interval in intervals]
            for intervals in (of_each or [restart_every])
        ]
        for intervals in lists:
            if len(intervals) != stages:
                raise ValueError(
                    f"restart_every must have one interval for each of the {stages} stages, got "
                    f"{len(intervals)}"
                )
        return lists if of_each else lists[0]

    def _follows(self, group: dict[str, Any]) -> bool:
        """Whether a group has the optimizer's interval, not one of its own."""
        # ZeroRedundancyOptimizer's own defaults are what it was called with
        defaults = getattr(self.optimizer, "optim", self.optimizer).defaults
        return not group.setdefault(_OWN, group[self._name] != defaults[self._name])

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

    def get_last_restart_every(self) -> list[Any]:
        """The interval in force of each parameter group, in iterations."""
        return [group[self._name] for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float | Tensor]:
        """The learning rates as they are. PyTorch asks for them wherever the stage may change."""
        stage = bisect_right(self.milestones, self.last_epoch)
        begins, self._stage = self._stage not in (stage, None), stage
        name, groups = self._name, self.optimizer.param_groups
        of_each = isinstance(self.restart_every[0], list)
        for k, group in enumerate(groups):
            if of_each and k < len(self.restart_every):  # a group that came later has none
                group[name] = self.restart_every[k][stage]
            elif not of_each and self._follows(group):
                group[name] = self.restart_every[stage]
            if begins and self.restart_at_milestones:
                if isinstance(group["cycle_step"], Tensor):
                    group["cycle_step"].zero_()  # where a captured step reads it
                else:
                    group["cycle_step"] = 0
        return [group["lr"] for group in groups]

    def _get_closed_form_lr(self) -> list[float | Tensor]:
        """Where ``SequentialLR`` begins a scheduler, the rates are the first ones again."""
        self.get_lr()
        return list(self.base_lrs)

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's state, without the optimizer's."""
        return copy.deepcopy(super().state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the result of :meth:`state_dict` and sets the intervals in force."""
        kept = {name: value for name, value in state_dict.items() if name != "_name"}
        super().load_state_dict(copy.deepcopy(kept))
        self._stage = None
        self.get_lr()
