"""What is wrong with a checkpoint's values: told before a run goes on from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_NUMBERS = ("epoch", "step")
_NEEDED = ("model", "optimizer", "schedules", *_NUMBERS, "history", "random_state")
_RECORD = {"epoch", "step", "train_loss"}
_WITH_SHAPES_OF_PARAMETERS = ("torch.", "torchmomentum.")  # optimizers, by their modules


def problem_of(held: Any, model: nn.Module, schedules: Sequence[Any], key: str) -> str | None:
    """What keeps a run from going on from a checkpoint's values; None for nothing.

    Args:
        held: The values.
        model: The run's.
        schedules: Likewise.
        key: Its recipe's.
    """
    if not isinstance(held, Mapping):
        return f"it holds a {type(held).__name__}"
    missing = [name for name in _NEEDED if name not in held]
    if missing:
        return f"it has no {missing[0]}"
    if held.get("run", key) != key:
        return "it is another run's"
    for name in _NUMBERS:
        if not isinstance(held[name], int) or held[name] < 0:
            return f"{name} is {held[name]!r}"
    history = held["history"]
    if not isinstance(history, list) or not all(
        isinstance(record, Mapping) and record.keys() >= _RECORD for record in history
    ):
        return "its history is none"
    if not isinstance(held["schedules"], list) or len(held["schedules"]) != len(schedules):
        return f"it has not the {len(schedules)} schedules of this run"
    return _problem_of_weights(held["model"], model)


def _problem_of_weights(held: Any, model: nn.Module) -> str | None:
    if not isinstance(held, Mapping):
        return f"its model is a {type(held).__name__}"
    ours = model.state_dict()
    for name, value in ours.items():  # a module refuses names that it does not know
        if name not in held:
            return f"it has no {name}"
        if not isinstance(value, Tensor):
            continue  # what a module keeps besides
        other = held[name]
        if not isinstance(other, Tensor):
            return f"{name} is a {type(other).__name__}"
        if other.shape != value.shape:
            return f"{name} has shape {tuple(other.shape)}, this run's {tuple(value.shape)}"
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return next((f"{n} is not finite" for n in names if not held[n].isfinite().all()), None)


def problem_of_states(optimizer: torch.optim.Optimizer) -> str | None:
    """Which state of an optimizer has not its parameter's shape; None for none.

    A user's optimizer may keep what it likes.
    """
    if not type(optimizer).__module__.startswith(_WITH_SHAPES_OF_PARAMETERS):
        return None
    parts = getattr(optimizer, "both", (optimizer,))
    pairs = [pair for part in parts for pair in part.state.items()]
    for p, state in pairs:
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim() and not _fits(value, p):
                shapes = f"{tuple(value.shape)}, its parameter {tuple(p.shape)}"
                return f"the optimizer's {name} has shape {shapes}"
    return None


def _fits(value: Tensor, parameter: Tensor) -> bool:
    """Whether a shape is a parameter's, but for dimensions that a state has reduced to 1."""
    pairs = zip(value.shape, parameter.shape, strict=False)
    return value.dim() == parameter.dim() and all(a in (1, b) for a, b in pairs)
