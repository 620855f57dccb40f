"""What a model is: something that is built for a task's data by its name and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import CELLS, MODELS, RULES, is_file

_SIZES = ("input_size", "output_size", "each_step")  # what a model learns from the data


@dataclass(frozen=True)
class Model:
    """A model that has a name.

    Attributes:
        build: ``build(data, options)``; random numbers are those of the run's ``init_seed``.
        options: What it takes, with the defaults.
        rule: The name of its momentum rule, None for none.
        check: ``check(options)`` raises ValueError or TypeError where a value is out of its range.
        from_task: Which options a task's recipe sets where nobody else does; None for all.
    """

    build: Callable[[Data, Mapping[str, Any]], nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None
    check: Callable[[Mapping[str, Any]], object] = lambda options: None
    from_task: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Family:
    """Models of one kind, registered as a cell: with every rule, and without.

    Attributes:
        model: ``model(rule, standardize)``, of a rule's name or None, and of an input that is
            standardized or not.
    """

    model: Callable[[str | None, bool], Model]


def with_options(name: str) -> tuple[str, dict[str, Any]]:
    """A model's name, and the options after it: ``momentum-lstm@mu=0.3@step_size=1``.

    Raises:
        UsageError: An option without a value.
    """
    name, *given = name.split("@")
    return name, dict(setting(each) for each in given)


def setting(text: str) -> tuple[str, Any]:
    """``NAME=VALUE`` as a name and a number, a truth value, None or a word.

    Raises:
        UsageError: It has another form.
    """
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise UsageError(f"a setting is NAME=VALUE, got {text}")
    return key.replace("-", "_"), _value(value)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


STANDARDIZED = "standardized"  # before a cell's name: what is changed is the input, not the drive


def parts_of(name: str) -> tuple[str | None, str] | None:
    """What stands before the cell in a composed name, if anything, and the cell.

    None for a name that is not composed of a cell's: a file's, or another model's.
    """
    if is_file(name) or name in MODELS:
        return None
    for cell in sorted(CELLS, key=len, reverse=True):  # a cell's name may end like another's
        if name == cell:
            return None, cell
        if name.endswith(f"-{cell}"):
            return name[: -len(cell) - 1], cell
    return None


def hyperparameters(rule: str) -> tuple[str, ...]:
    """What a rule takes."""
    names = inspect.signature(RULES.find(rule)).parameters
    return tuple(name for name in names if name not in ("args", "kwargs"))


def model_names() -> list[str]:
    """All names: every cell, every rule with every cell, and the models with names of their own."""
    cells = list(CELLS)
    before = (*RULES, STANDARDIZED)
    composed = [name for cell in cells for name in (cell, *(f"{each}-{cell}" for each in before))]
    return [*composed, *MODELS]


def model_of(name: str) -> Model:
    """A model by its name, without options.

    Raises:
        UsageError: There is none.
    """
    if is_file(name) or name in MODELS:
        found = MODELS.find(name)
        return found if isinstance(found, Model) else of_module(found, name)
    check_name("model", name, model_names())
    from torchmomentum.experiments.models.sequence import cell_kind, sequence_model

    before, cell = parts_of(name) or (None, name)
    found, standardize = CELLS.find(cell), before == STANDARDIZED
    rule = None if standardize else before
    if isinstance(found, Family):
        return found.model(rule, standardize)
    return sequence_model(cell_kind(found), rule, standardize=standardize)


def of_module(made: Any, name: str) -> Model:
    """A user's own: a module's class, or a function that makes one.

    It is called with what its signature names of ``input_size``, ``output_size``, ``each_step`` and
    the options; its other arguments with defaults are its options.

    Raises:
        UsageError: It is not callable, or has a required argument that nothing sets.
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
            f"model {name} has a required argument {unknown[0]} that nothing sets; set are "
            f"{', '.join(_SIZES)}, hidden_size and arguments with defaults"
        )

    def build(data: Data, options: Mapping[str, Any]) -> nn.Module:
        sizes = {key: getattr(data, key) for key in _SIZES if key in given}
        model = made(**sizes, **options)
        if not isinstance(model, nn.Module):
            raise UsageError(f"model {name} made a {type(model).__name__}, not a module")
        return model

    own = {key: v for key, v in options.items() if key not in _SIZES}
    return Model(build, own, from_task=("hidden_size",))


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
