"""Makes the recipe of one training, from a task's recipe and what differs from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torchmomentum.experiments.digest import digest_of
from torchmomentum.experiments.engine.optimizers import Optimizer, optimizer_of
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.models import (
    Model,
    hyperparameters,
    model_of,
    parts_of,
    with_options,
)
from torchmomentum.experiments.recipe import DEVICES, ON_NONFINITE, PRECISIONS, STRATEGIES, Training
from torchmomentum.experiments.registry import (
    CELLS,
    MODELS,
    OPTIMIZERS,
    RULES,
    TASKS,
    Registry,
)
from torchmomentum.experiments.study import SCALES
from torchmomentum.experiments.tasks import Task, task_of

_POSITIVE = (
    *("batch_size", "epochs", "hidden_size", "length", "steps_per_epoch", "threads", "devices"),
    *("evaluate_every", "depth", "size", "train_limit", "test_limit", "nodes", "accumulate"),
)
_NUMBERS = ("lr", "clip")
_SEEDS = ("seed", "order_seed", "init_seed", "permutation_seed")
_NAMES = {
    "device": DEVICES,
    "precision": PRECISIONS,
    "strategy": STRATEGIES,
    "on_nonfinite": ON_NONFINITE,
}
_MOST_THREADS = 1024
_OPTIMIZER = "sgd"  # where no recipe names one
_PARTS = ("task_options", "model_options", "optimizer_options", "schedule", "sources")
_DEFAULTS = {"steps": 1} | {f.name: f.default for f in fields(Training)}
_FIELDS = tuple(f.name for f in fields(Training) if f.name not in _PARTS)


def check_value(name: str, value: Any) -> None:
    """Checks a setting's type and range.

    Raises:
        UsageError: It has another type, or is outside.
    """
    whole, number = name in (*_POSITIVE, *_SEEDS, "workers"), name in _NUMBERS
    if (whole or number) and value is not None:
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise UsageError(f"{name} must be a {'whole ' * whole}number, got {value!r}")
        if name in _POSITIVE and value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")
        if name == "workers" and value < 0:
            raise UsageError(f"workers must be at least 0, got {value}")
        if name == "threads" and value > _MOST_THREADS:
            raise UsageError(f"threads must be at most {_MOST_THREADS}, got {value}")
        if name in _SEEDS and not 0 <= value < 2**63:
            raise UsageError(f"{name} must be in [0, 2**63), got {value}")
        if number and not 0.0 < value < math.inf:
            raise UsageError(f"{name} must be positive and finite, got {value}")
    if name in _NAMES:
        check_name(name, value, _NAMES[name])


def _check_none(given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Rejects None for what is by default something else.

    Raises:
        UsageError: A setting is None and may not be.
    """
    for name, value in given.items():
        if value is None and declared.get(name) is not None:
            raise UsageError(f"{name} must not be None")


def _steps(values: dict[str, Any], steps: int) -> dict[str, Any]:
    """Turns a number of training steps into epochs of a generated task."""
    each = values.get("steps_per_epoch")
    if each is None:
        raise UsageError(
            f"steps is for tasks whose data is generated, not for {values['task']}: give epochs"
        )
    if steps < 1:
        raise UsageError(f"steps must be at least 1, got {steps}")
    each = min(each, steps)
    if steps % each:
        raise UsageError(f"steps must be a multiple of {each}, got {steps}")
    return {"steps_per_epoch": each, "epochs": steps // each}


def _rule(
    task: Task, model: Model, cell: str | None, values: Mapping[str, Any], given: dict[str, Any]
) -> Any:
    """The hyperparameters of a model's rule: the task's for these sizes, and the given ones."""
    if model.rule is None:
        return None
    names = hyperparameters(model.rule)
    found = task.rule_options(model.rule, values, cell)
    return found | {name: given.pop(name) for name in list(given) if name in names}


def _known(model: Model, optimizer: Optimizer, task: Task) -> set[str]:
    rules = hyperparameters(model.rule) if model.rule else ()
    return {*_FIELDS, *task.options, *model.options, *optimizer.options, *rules, "steps", "seed"}


def settings_of(task: str, model: str, settings: Mapping[str, Any]) -> set[str]:
    """What may be set of a training of a model, with options after its name or not, on a task."""
    name, own = with_options(model)
    optimizer = own.get("optimizer", settings.get("optimizer"))
    found, cell = task_of(task), (parts_of(name) or (None, None))[1]
    optimizer = optimizer or found.recipe_of(cell, settings).get("optimizer", _OPTIMIZER)
    return _known(model_of(name), optimizer_of(optimizer), found)


def defaults(
    task: Task, scale: str, cell: str | None = None, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A task's recipe at a scale, with the options that it takes.

    Args:
        task: The task.
        scale: A name of :data:`~.study.SCALES`.
        cell: The model's cell, if it has one.
        given: What the recipe's sizes will be replaced by.
    """
    check_name("scale", scale, SCALES)
    scaled = task.scales.get(scale, {})
    return {**task.recipe_of(cell, {**scaled, **(given or {})}), **scaled}


def training_recipe(settings: Mapping[str, Any], seed: int) -> Training:
    """Puts a training together.

    Args:
        settings: ``task``, ``model`` (with options after it or not), ``scale``, and what differs
            from the task's recipe: fields of :class:`~.recipe.Training`, options of the task, the
            model, its rule and the optimizer, or ``steps``. None is a value, of those that may be
            None: ``clip``, ``train_limit``.
            ``like`` holds sizes, such as ``hidden_size``, whose published hyperparameters a
            smaller model is to have. ``shared`` names the settings that were given for all models:
            a model that does not have one of them is trained without. ``models`` are the models
            that arms have other names for. An optimizer that is not the recipe's has its own
            defaults, not the recipe's learning rate.
        seed: For order and initialization, where the settings have none for them.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    given = dict(settings)
    shared, scale, like = given.pop("shared", ()), given.pop("scale", "desk"), given.pop("like", {})
    task = task_of(given["task"])
    arm, called = given.pop("model", None) or task.recipe["model"], given.pop("models", {})
    name, own = with_options(called.get(arm, arm))
    model = model_of(name)
    cell = (parts_of(name) or (None, None))[1]
    values = defaults(task, scale, cell, {**given, **own, **like})
    values |= {"seed": seed, "order_seed": seed, "init_seed": seed}
    optimizer_name = own.get(
        "optimizer", given.get("optimizer", values.get("optimizer", _OPTIMIZER))
    )
    _check_none({"optimizer": optimizer_name}, _DEFAULTS)
    optimizer = optimizer_of(optimizer_name)
    if optimizer_name != values.get("optimizer"):
        values = {k: v for k, v in values.items() if k not in optimizer.options}
    known = _known(model, optimizer, task)
    for key in list(given):
        if key not in known and key in shared:
            del given[key]
    mine = _models_own(model, own, given, {*_FIELDS, *task.options, *optimizer.options, "steps"})
    given |= own
    unknown = [key for key in given if key not in (*known, "schedule")]
    if unknown:
        raise UsageError(_no_such(unknown[0], name, model))
    _check_none(given, {**_DEFAULTS, **task.options, **model.options, **optimizer.options})
    if "steps" in given:
        given = _steps(values | given, given["steps"]) | {
            k: v for k, v in given.items() if k != "steps"
        }
    sizes = values | given | like
    rule = _rule(task, model, cell, sizes, given)
    values |= given | {"task": given["task"], "model": name, "optimizer": optimizer_name}
    for key, value in values.items():
        check_value(key, value)
    return _put_together(values, model, optimizer, task, rule, mine)


def _models_own(
    model: Model, own: dict[str, Any], given: dict[str, Any], others: set[str]
) -> dict[str, Any] | None:
    """The options of a model that a task's recipe knows nothing of; None where it knows all.

    Raises:
        UsageError: An option that was given may be the model's or the training's.
    """
    if model.from_task is None:
        return None
    names = [name for name in model.options if name not in model.from_task]
    for name in names:
        if name in given and name in others:
            raise UsageError(f"{name} may be the model's or the training's: give MODEL@{name}=...")
    both = {name: given.pop(name) for name in names if name in given}
    return {**both, **{name: own.pop(name) for name in names if name in own}}


def _no_such(option: str, name: str, model: Model) -> str:
    rules = hyperparameters(model.rule) if model.rule else ()
    return f"{name} has no {option}; it has: {', '.join([*model.options, *rules]) or 'none'}"


def _digests(task: str, model: str, optimizer: str) -> dict[str, str]:
    """What a recipe adds to the names of a user's own things, by name."""
    named: list[tuple[str, Registry]] = [(task, TASKS), (optimizer, OPTIMIZERS)]
    parts = parts_of(model)
    if parts is None:
        named.append((model, MODELS))
    else:
        rule, cell = parts
        named.append((cell, CELLS))
        if rule is not None and rule in RULES:
            named.append((rule, RULES))
    found = {name: digest_of(name, registry) for name, registry in named}
    return {name: each for name, each in found.items() if each is not None}


def _put_together(
    values: Mapping[str, Any],
    model: Model,
    optimizer: Optimizer,
    task: Task,
    rule: Any,
    mine: Mapping[str, Any] | None,
) -> Training:
    def of(names: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values.get(key, default) for key, default in names.items()}

    task_options, model_options = of(task.options), of(model.options)
    try:
        task.check_options(task_options)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    if mine is not None and model.from_task is not None:
        model_options = {
            key: mine.get(key, values.get(key, default) if key in model.from_task else default)
            for key, default in model.options.items()
        }
    if rule is not None:
        model_options["rule"] = rule
    return Training(
        **{key: values[key] for key in _FIELDS if key in values},
        task_options=task_options,
        model_options=model_options,
        optimizer_options=of(optimizer.options),
        schedule=values.get("schedule", {}),
        sources=_digests(values["task"], values["model"], values["optimizer"])
        | {**task.sources(task_options)},
    )
