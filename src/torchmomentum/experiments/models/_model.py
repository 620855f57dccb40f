"""What a model is: something that is built for a task's data by its name and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import CELLS, MODELS, RULES, is_file
from torchmomentum.experiments.tasks import Data

_SIZES = ("input_size", "output_size", "each_step")  # what a model learns from the data


@dataclass(frozen=True)
class Model:
    """A model that has a name.

    Attributes:
        build: ``build(data, options)``; random numbers are those of the run's ``init_seed``.
        options: What it takes, with the defaults.
        rule: The name of its momentum rule, None for none.
        check: ``check(options)`` raises ValueError or TypeError where a value is out of its range.
    """

    build: Callable[[Data, Mapping[str, Any]], nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None
    check: Callable[[Mapping[str, Any]], object] = lambda options: None


def with_options(name: str) -> tuple[str, dict[str, Any]]:
    """A model's name, and the options behind it: ``momentum-lstm@mu=0.3@step_size=1``.

    Raises:
        UsageError: An option without a value.
    """
    name, *given = name.split("@")
    options: dict[str, Any] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not key or not equals or not value:
            raise UsageError(f"an option of a model is NAME@OPTION=VALUE, got {name}@{each}")
        options[key.replace("-", "_")] = _value(value)
    return name, options


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def rule_of(name: str) -> str | None:
    """The rule in a composed name such as ``momentum-lstm``, None for a cell or another model."""
    if is_file(name) or name in MODELS:
        return None
    rule, dash, _ = name.rpartition("-")
    return rule if dash else None


def hyperparameters(rule: str) -> tuple[str, ...]:
    """What a rule takes, but for what makes it learned."""
    names = inspect.signature(RULES.find(rule)).parameters
    return tuple(name for name in names if name not in ("learnable", "args", "kwargs"))


def model_names() -> list[str]:
    """All names: every cell, every rule with every cell, and the models with names of their own."""
    cells = list(CELLS)
    composed = [name for cell in cells for name in (cell, *(f"{rule}-{cell}" for rule in RULES))]
    return [*composed, *MODELS]


def model_of(name: str) -> Model:
    """A model by its name, without options behind it.

    Raises:
        UsageError: There is none.
    """
    if is_file(name) or name in MODELS:
        found = MODELS.find(name)
        return found if isinstance(found, Model) else of_module(found, name)
    check_name("model", name, model_names())
    from torchmomentum.experiments.models.sequence import sequence_model

    return sequence_model(CELLS.find(name.rpartition("-")[2]), rule_of(name))


def of_module(made: Any, name: str) -> Model:
    """A user's own: a module's class, or a function that makes one.

    It is called with what its signature names of ``input_size``, ``output_size``, ``each_step`` and
    the options; its other arguments with defaults are its options.

    Raises:
        UsageError: It is none, or needs what nobody gives.
    """
    if not callable(made):
        raise UsageError(f"model {name} must be a module's class or a function, got {made!r}")
    empty, given = inspect.Parameter.empty, inspect.signature(made).parameters
    options = {key: p.default for key, p in given.items() if p.default is not empty}
    needed = [
        key
        for key, p in given.items()
        if p.default is empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    options |= {key: 64 for key in needed if key == "hidden_size"}
    unknown = [key for key in needed if key not in (*_SIZES, *options)]
    if unknown:
        raise UsageError(
            f"model {name} needs {unknown[0]}, which nobody gives: a model is given "
            f"{', '.join(_SIZES)}, hidden_size and its options"
        )

    def build(data: Data, options: Mapping[str, Any]) -> nn.Module:
        sizes = {key: getattr(data, key) for key in _SIZES if key in given}
        model = made(**sizes, **options)
        if not isinstance(model, nn.Module):
            raise UsageError(f"model {name} made a {type(model).__name__}, not a module")
        return model

    return Model(build, {key: v for key, v in options.items() if key not in _SIZES})


def check_model(recipe: Training) -> None:
    """Rejects options out of their range before anything is written.

    Raises:
        UsageError: One is; the message is the model's own.
    """
    try:
        model_of(recipe.model).check(recipe.model_options)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def build_model(recipe: Training, data: Data) -> nn.Module:
    """A run's model.

    Raises:
        UsageError: Options that it does not take.
    """
    try:
        model = model_of(recipe.model).build(data, recipe.model_options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model {recipe.model}: {error}") from error
    if recipe.compile:
        model.compile()
    return model
