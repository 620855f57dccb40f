"""One run, fully specified: a recipe, a model, seeds and what the user changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipes import (
    HYPERPARAMETERS,
    MODELS,
    OPTIMIZERS,
    PRESETS,
    TASKS,
    recipe,
    rule_options,
)

PRECISIONS = ("float32", "bfloat16")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class RunConfig:
    """Everything that a training run depends on. Two equal ones give equal numbers on a CPU.

    Attributes:
        task: A name of :data:`~.recipes.TASKS`.
        model: A name of :data:`~.recipes.MODELS`.
        preset: The scale of the recipe.
        order_seed: Fixes the order of the data and what is generated.
        init_seed: Fixes the initial weights.
        permutation_seed: Fixes the pixels' order in the permuted tasks.
        rule: Hyperparameters of the momentum rule.
        device: ``cpu`` or ``cuda``.
        precision: ``float32``, or ``bfloat16`` for autocast.
        threads: CPU threads.
        optimizer: And the rest: see :class:`~.recipes.Recipe`.
    """

    task: str
    model: str
    preset: str
    order_seed: int
    init_seed: int
    permutation_seed: int
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    hidden_size: int
    clip: float | None
    init: str
    forget_bias: float
    alpha: float
    length: int | None
    steps_per_epoch: int | None
    train_limit: int | None
    test_limit: int | None
    rule: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1

    devices: ClassVar[int] = 1  # as an image run may have more

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return asdict(self)


def rule_of(model: str) -> str | None:
    """The rule in a model's name, None for a plain cell."""
    rule, dash, _ = model.rpartition("-")
    return rule if dash else None


_POSITIVE_INTEGERS = ("batch_size", "epochs", "hidden_size", "length", "steps_per_epoch", "threads")
_MOST_THREADS = 1024
_SEEDS = ("seed", "order_seed", "init_seed", "permutation_seed")


def _check(name: str, value: Any) -> None:
    if name in _POSITIVE_INTEGERS and value is not None and value < 1:
        raise UsageError(f"{name} must be at least 1, got {value}")
    if name == "threads" and value > _MOST_THREADS:
        raise UsageError(f"threads must be at most {_MOST_THREADS}, got {value}")
    if name in _SEEDS and not 0 <= value < 2**63:
        raise UsageError(f"{name} must be in [0, 2**63), got {value}")
    if name in ("lr", "clip") and value is not None and not 0.0 < value < math.inf:
        raise UsageError(f"{name} must be positive and finite, got {value}")
    if name == "optimizer":
        check_name("optimizer", value, OPTIMIZERS)
    if name == "device":
        check_name("device", value, DEVICES)
    if name == "precision":
        check_name("precision", value, PRECISIONS)


def _steps(values: dict[str, Any], steps: int) -> dict[str, Any]:
    """Turns a number of training steps into epochs of a generated task."""
    each = values["steps_per_epoch"]
    if each is None:
        raise UsageError(f"steps fits the generated tasks only, not {values['task']}: give epochs")
    if steps < 1:
        raise UsageError(f"steps must be at least 1, got {steps}")
    each = min(each, steps)
    if steps % each:
        raise UsageError(f"steps must be a multiple of {each}, got {steps}")
    return {"steps_per_epoch": each, "epochs": steps // each}


def resolve(
    task: str,
    model: str,
    *,
    preset: str = "desk",
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    ignore_unused_rule_options: bool = False,
) -> RunConfig:
    """Puts a run together from a recipe and what the user changed.

    Args:
        task: A name of :data:`~.recipes.TASKS`.
        model: A name of :data:`~.recipes.MODELS`.
        preset: A name of :data:`~.recipes.PRESETS`.
        seed: For order and initialization, where ``overrides`` has none for them.
        overrides: Fields of :class:`RunConfig`, hyperparameters of the rule, or ``steps``; those
            that are None are left as the recipe has them.
        ignore_unused_rule_options: Passes over hyperparameters that the model's rule does not have.

    Raises:
        UsageError: An unknown name or a value out of its range.
    """
    check_name("task", task, TASKS)
    check_name("model", model, MODELS)
    check_name("preset", preset, PRESETS)
    _check("seed", seed)
    changes = {k: v for k, v in (overrides or {}).items() if v is not None}
    values = asdict(recipe(task, preset))
    for name in ("title", "source", "rules"):
        values.pop(name)
    values |= {"task": task, "model": model, "preset": preset}
    values |= {"order_seed": seed, "init_seed": seed, "permutation_seed": 0}
    steps = changes.pop("steps", None)
    known = {f.name for f in fields(RunConfig)}
    rule_changes = {k: changes.pop(k) for k in list(changes) if k not in known}
    if task not in ("adding", "copying") and "length" in changes:
        raise UsageError(f"length fits adding and copying only, not {task}")
    values |= changes
    if steps is not None:
        values |= _steps(values, steps)
    for name, value in values.items():
        _check(name, value)
    values["rule"] = _rule(values, rule_changes, ignore_unused_rule_options)
    return RunConfig(**values)


def _rule(values: dict[str, Any], changes: dict[str, Any], ignore_unused: bool) -> dict[str, Any]:
    task, model, rule = values["task"], values["model"], rule_of(values["model"])
    names = HYPERPARAMETERS[rule] if rule else ()
    unused = [name for name in changes if name not in names]
    if unused and not ignore_unused:
        raise UsageError(f"{model} has no {unused[0]}; it has: {', '.join(names) or 'none'}")
    if rule is None:
        return {}
    sizes = {"hidden_size": values["hidden_size"], "length": values["length"]}
    options = rule_options(task, rule, sizes)
    return options | {name: value for name, value in changes.items() if name in names}
