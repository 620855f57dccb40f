"""Optimizers by name, and what changes from epoch to epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR

import torchmomentum.optim as topt
from torchmomentum._checks import check_number
from torchmomentum.experiments.engine.adam_rmsprop import AdamRMSprop
from torchmomentum.experiments.engine.nt_asgd import NTASGD
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import OPTIMIZERS


@dataclass(frozen=True)
class Optimizer:
    """An optimizer and its defaults.

    Attributes:
        make: ``make(parameters, **options)``.
        options: What it takes, with the defaults; None leaves an option out.
    """

    make: Callable[..., torch.optim.Optimizer]
    options: Mapping[str, Any]


RMSPROP = Optimizer(torch.optim.RMSprop, {"lr": 1e-3, "alpha": 0.99})
ADAM = Optimizer(torch.optim.Adam, {"lr": 1e-3})
ADAMW = Optimizer(torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.01})
ADAM_RMSPROP = Optimizer(AdamRMSprop, {"lr": 1e-3, "alpha": 0.99})
SGD = Optimizer(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0})
NT_ASGD = Optimizer(NTASGD, {"lr": 30.0, "weight_decay": 0.0, "patience": 5})
NAG = Optimizer(topt.NAG, {"lr": 0.1, "weight_decay": 0.0})
SRSGD = Optimizer(topt.SRSGD, {"lr": 0.1, "weight_decay": 0.0, "restart_every": None})


def optimizer_of(name: str) -> Optimizer:
    """An optimizer by its name; a class of the user's takes what its signature says."""
    found = OPTIMIZERS.find(name)
    if isinstance(found, Optimizer):
        return found
    given = list(inspect.signature(found).parameters.values())[1:]
    empty = inspect.Parameter.empty
    return Optimizer(found, {p.name: None if p.default is empty else p.default for p in given})


def parameters_of(model: nn.Module) -> Iterable[Any]:
    """A model's parameters, or the groups of them that its ``parameter_groups()`` gives."""
    groups: Any = getattr(model, "parameter_groups", None)
    return model.parameters() if groups is None else groups()


@contextmanager
def at_rate(optimizer: torch.optim.Optimizer, factor: float) -> Iterator[None]:
    """Has all learning rates multiplied by a factor."""
    held = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    try:
        yield
    finally:
        for group, lr in zip(optimizer.param_groups, held, strict=True):
            group["lr"] = lr


def build_optimizer(recipe: Training, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """A run's optimizer.

    Args:
        recipe: The run's.
        parameters: Of :func:`parameters_of`.

    Raises:
        UsageError: A value is out of its range.
    """
    options = {k: v for k, v in recipe.optimizer_options.items() if v is not None}
    restarts = recipe.schedule.get("restarts")
    if restarts:
        options["restart_every"] = restarts[0]
    try:
        return optimizer_of(recipe.optimizer).make(parameters, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer {recipe.optimizer}: {error}") from error


@dataclass(frozen=True)
class Schedule:
    """What changes from epoch to epoch.

    Attributes:
        milestones: Epochs after which the learning rate falls, and SRSGD's next interval begins.
        gamma: What the learning rate is multiplied by.
        restarts: SRSGD's interval of each stage, in iterations; empty for other optimizers.
        restart_at_milestones: Whether SRSGD begins anew at each milestone, counter and momentum.
            The slides let each interval begin anew; the released code makes a new optimizer there,
            which loses the momentum and keeps the counter.
        restart_fades: Whether SRSGD's last interval falls from epoch to epoch, evenly, to 1 in the
            last one, each epoch begun anew.
        epochs: Of the whole training.
        cosine: Whether the learning rate falls along half a cosine, instead of at milestones.
        warmup: The part of all epochs in which it rises evenly to its full value before, in [0, 1).

    Raises:
        ValueError: A cosine with milestones, or a warm-up without a cosine or out of its range.
    """

    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    restarts: tuple[int, ...] = ()
    restart_at_milestones: bool = True
    restart_fades: bool = False
    epochs: int = 1
    cosine: bool = False
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, 0.0, 1.0)
        if self.cosine and self.milestones:
            raise ValueError("a learning rate falls along a cosine or at milestones, got both")
        if self.warmup and not self.cosine:
            raise ValueError("warmup is with cosine=True only")

    def rate(self, epoch: int) -> float:
        """What a learning rate with ``cosine`` is multiplied by in an epoch, counted from 0.

        Example:
            >>> schedule = Schedule(epochs=6, cosine=True, warmup=1 / 3)
            >>> [round(schedule.rate(epoch), 2) for epoch in range(6)]
            [0.33, 0.67, 1.0, 0.85, 0.5, 0.15]
        """
        first = round(self.warmup * self.epochs)
        if epoch < first:
            return (epoch + 1) / (first + 1)
        done = (epoch - first) / max(self.epochs - first, 1)
        return 0.5 * (1.0 + math.cos(math.pi * done))

    def stages(self) -> tuple[list[int], list[int]]:
        """SRSGD's stages: at which epochs they begin but for the first, and their intervals.

        Example:
            >>> schedule = Schedule((31, 61), 0.1, (40, 80, 80), restart_fades=True, epochs=90)
            >>> milestones, restarts = schedule.stages()
            >>> milestones[:3], restarts[:4], restarts[-2:]
            ([31, 61, 62], [40, 80, 80, 77], [4, 1])
        """
        milestones, restarts = list(self.milestones), list(self.restarts)
        if self.restart_fades and milestones:
            last, first = restarts.pop(), milestones[-1]
            left = self.epochs - 1 - first  # epochs after the stage's first
            milestones += range(first + 1, self.epochs)
            restarts += [round((last - 1) * (left - k) / max(left, 1)) + 1 for k in range(left + 1)]
        return milestones, restarts


def schedule_of(recipe: Training) -> Schedule:
    """A run's schedule.

    Raises:
        UsageError: It has no such setting, or one that is out of its range.
    """
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in recipe.schedule.items()
    }
    try:
        return Schedule(**values, epochs=recipe.epochs)
    except (TypeError, ValueError) as error:
        raise UsageError(f"schedule: {error}") from error


def build_schedules(recipe: Training, optimizer: torch.optim.Optimizer) -> list[LRScheduler]:
    """What changes from epoch to epoch: the learning rate, and SRSGD's interval."""
    if not recipe.schedule:
        return []
    schedule = schedule_of(recipe)
    found: list[LRScheduler] = [
        LambdaLR(optimizer, schedule.rate)
        if schedule.cosine
        else MultiStepLR(optimizer, list(schedule.milestones), schedule.gamma)
    ]
    if schedule.restarts:
        found.append(
            topt.RestartScheduler(
                optimizer,
                *schedule.stages(),
                restart_at_milestones=schedule.restart_at_milestones,
            )
        )
    return found
