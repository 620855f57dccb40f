"""Makes the recipe of one training, from a task's recipe and what differs from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torchmomentum.experiments.engine.optimizers import Optimizer, optimizer_of
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.models import Model, hyperparameters, model_of, with_options
from torchmomentum.experiments.recipe import DEVICES, PRECISIONS, Training
from torchmomentum.experiments.registry import file_digest
from torchmomentum.experiments.study import SCALES
from torchmomentum.experiments.tasks import Task, task_of

_POSITIVE = (
    *("batch_size", "epochs", "hidden_size", "length", "steps_per_epoch", "threads", "devices"),
    *("evaluate_every", "depth", "size", "train_limit", "test_limit"),
)
_SEEDS = ("seed", "order_seed", "init_seed", "permutation_seed")
_MOST_THREADS = 1024
_OPTIMIZER = "sgd"  # where no recipe names one
_PARTS = ("task_options", "model_options", "optimizer_options", "schedule", "sources")
_FIELDS = tuple(f.name for f in fields(Training) if f.name not in _PARTS)


def check_value(name: str, value: Any) -> None:
    """Holds a setting to its range.

    Raises:
        UsageError: It is outside.
    """
    if name in _POSITIVE and value is not None and value < 1:
        raise UsageError(f"{name} must be at least 1, got {value}")
    if name == "workers" and value < 0:
        raise UsageError(f"workers must be at least 0, got {value}")
    if name == "threads" and value > _MOST_THREADS:
        raise UsageError(f"threads must be at most {_MOST_THREADS}, got {value}")
    if name in _SEEDS and not 0 <= value < 2**63:
        raise UsageError(f"{name} must be in [0, 2**63), got {value}")
    if name in ("lr", "clip") and value is not None and not 0.0 < value < math.inf:
        raise UsageError(f"{name} must be positive and finite, got {value}")
    if name == "device":
        check_name("device", value, DEVICES)
    if name == "precision":
        check_name("precision", value, PRECISIONS)


def _steps(values: dict[str, Any], steps: int) -> dict[str, Any]:
    """Turns a number of training steps into epochs of a generated task."""
    each = values.get("steps_per_epoch")
    if each is None:
        raise UsageError(f"steps fits the generated tasks only, not {values['task']}: give epochs")
    if steps < 1:
        raise UsageError(f"steps must be at least 1, got {steps}")
    each = min(each, steps)
    if steps % each:
        raise UsageError(f"steps must be a multiple of {each}, got {steps}")
    return {"steps_per_epoch": each, "epochs": steps // each}


def _rule(task: Task, model: Model, values: Mapping[str, Any], given: dict[str, Any]) -> Any:
    """The hyperparameters of a model's rule: the task's for these sizes, and the given ones."""
    if model.rule is None:
        return None
    names = hyperparameters(model.rule)
    found = task.rule_options(model.rule, values)
    return found | {name: given.pop(name) for name in list(given) if name in names}


def _known(model: Model, optimizer: Optimizer, task: Task) -> set[str]:
    rules = hyperparameters(model.rule) if model.rule else ()
    return {*_FIELDS, *task.options, *model.options, *optimizer.options, *rules, "steps", "seed"}


def settings_of(task: str, model: str, settings: Mapping[str, Any]) -> set[str]:
    """What may be set of a training of a model, with options behind its name or not, on a task."""
    name, own = with_options(model)
    optimizer = own.get("optimizer", settings.get("optimizer"))
    found = task_of(task)
    optimizer = optimizer or found.recipe.get("optimizer", _OPTIMIZER)
    return _known(model_of(name), optimizer_of(optimizer), found)


def defaults(task: Task, scale: str) -> dict[str, Any]:
    """A task's recipe at a scale, with the options that it takes."""
    check_name("scale", scale, SCALES)
    return {**task.options, **task.recipe, **task.scales.get(scale, {})}


def training_recipe(settings: Mapping[str, Any], seed: int) -> Training:
    """Puts a training together.

    Args:
        settings: ``task``, ``model`` (with options behind it or not), ``scale``, and what differs
            from the task's recipe: fields of :class:`~.recipe.Training`, options of the task, the
            model, its rule and the optimizer, or ``steps``. None leaves the recipe's value.
            ``shared`` names the settings that were given for all models: a model that does not
            have one of them is trained without.
        seed: For order and initialization, where the settings have none for them.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    shared, scale = given.pop("shared", ()), given.pop("scale", "desk")
    task = task_of(given["task"])
    name, own = with_options(given.pop("model", None) or task.recipe["model"])
    model = model_of(name)
    values = defaults(task, scale)
    values |= {"seed": seed, "order_seed": seed, "init_seed": seed}
    optimizer_name = own.get(
        "optimizer", given.get("optimizer", values.get("optimizer", _OPTIMIZER))
    )
    optimizer = optimizer_of(optimizer_name)
    known = _known(model, optimizer, task)
    for key in list(given):
        if key not in known and key in shared:
            del given[key]
    given |= own
    unknown = [key for key in given if key not in (*known, "schedule")]
    if unknown:
        raise UsageError(_no_such(unknown[0], name, model))
    if given.get("steps") is not None:
        given = _steps(values | given, given["steps"]) | {
            k: v for k, v in given.items() if k != "steps"
        }
    sizes = values | given
    rule = _rule(task, model, sizes, given)
    values |= given | {"task": given["task"], "model": name, "optimizer": optimizer_name}
    for key, value in values.items():
        check_value(key, value)
    return _put_together(values, model, optimizer, task, rule)


def _no_such(option: str, name: str, model: Model) -> str:
    rules = hyperparameters(model.rule) if model.rule else ()
    return f"{name} has no {option}; it has: {', '.join([*model.options, *rules]) or 'none'}"


def _put_together(
    values: Mapping[str, Any], model: Model, optimizer: Optimizer, task: Task, rule: Any
) -> Training:
    def of(names: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values.get(key, default) for key, default in names.items()}

    model_options = of(model.options)
    if rule is not None:
        model_options["rule"] = rule
    named = (values["task"], values["model"], values["optimizer"])
    digests = {name: file_digest(name) for name in named}
    return Training(
        **{key: values[key] for key in _FIELDS if key in values},
        task_options=of(task.options),
        model_options=model_options,
        optimizer_options=of(optimizer.options),
        schedule=values.get("schedule", {}),
        sources={name: digest for name, digest in digests.items() if digest is not None},
    )
