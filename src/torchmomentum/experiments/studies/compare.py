"""A comparison as a study: models on one task, over several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import hyperparameters, model_of, parts_of, with_options
from torchmomentum.experiments.studies.training import settings_of
from torchmomentum.experiments.study import Run, Study
from torchmomentum.experiments.tasks import task_of

_ITS_OWN = ("task", "model", "seed")  # settings of a training that a comparison varies
CONTROLS = ("gain", "learned-gain", "standardized", "rms", "layer-norm")


def cell_of(models: Iterable[str]) -> str:
    """The cell of the first model that has one.

    Raises:
        UsageError: None has.
    """
    for name in models:
        parts = parts_of(with_options(name)[0])
        if parts is not None:
            return parts[1]
    raise UsageError(f"controls are of a cell, and none of {', '.join(models)} has one")


def with_controls(models: Mapping[str, str]) -> dict[str, str]:
    """The models, and after them the controls of the first cell among them."""
    cell = cell_of(models.values())
    return {**models, **{name: name for name in (f"{c}-{cell}" for c in CONTROLS)}}


def _takes(model: str) -> set[str]:
    """The options that a model and its rule take."""
    name, own = with_options(model)
    found = model_of(name)
    return {*found.options, *(hyperparameters(found.rule) if found.rule else ())} - {*own}


def expand(models: Mapping[str, str], lists: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """A model for each combination of the listed options that it takes.

    Args:
        models: What each is called, and what it is.
        lists: The values of some options.

    Raises:
        UsageError: No model takes an option that is listed.

    Example:
        >>> [*expand({"lstm": "lstm", "momentum-lstm": "momentum-lstm"}, {"mu": [0.3, 0.6]})]
        ['lstm', 'momentum-lstm@mu=0.3', 'momentum-lstm@mu=0.6']
    """
    taken = {called: _takes(model) for called, model in models.items()}
    for key in lists:
        if not any(key in options for options in taken.values()):
            raise UsageError(f"none of {','.join(models)} has {key}")
    found: dict[str, str] = {}
    for called, options in taken.items():
        mine = {key: values for key, values in lists.items() if key in options}
        for combination in itertools.product(*mine.values()):
            pairs = zip(mine, combination, strict=True)
            suffix = "".join(f"@{key}={value}" for key, value in pairs)
            found[called + suffix] = models[called] + suffix
    return found


def named(models: Sequence[str], kind: str = "models") -> dict[str, str]:
    """Models, or things of another kind, that are called what they are.

    Raises:
        UsageError: One stands there twice.
    """
    if len({*models}) < len(models):
        twice = next(name for name in models if [*models].count(name) > 1)
        raise UsageError(f"{kind} lists {twice} twice")
    return {name: name for name in models}


def comparison(
    task: str,
    models: Mapping[str, str],
    *,
    scale: str = "desk",
    seeds: int = 3,
    changes: Mapping[str, Any] | None = None,
    axes: Mapping[str, Sequence[Any]] | None = None,
    optimizers: Sequence[str] = (),
) -> tuple[Study, list[Run]]:
    """The study of some models on a task, and its runs.

    Args:
        task: A task's name, or ``file.py:Name``.
        models: What each is called in tables, and its name or ``file.py:Name``, with options after
            it (``NAME@OPTION=VALUE``) or not; the first is the baseline.
        scale: ``smoke``, ``desk`` or ``paper``.
        seeds: Seeds 0 to ``seeds - 1``.
        changes: What differs from the task's recipe, for all models; one that does not have an
            option is trained without.
        axes: Further axes, by the name of a setting.
        optimizers: Train each model with each of these, at the task's settings for the optimizer
            that is the task's own, else at the optimizer's.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    if not models:
        raise UsageError("models needs at least one name")
    found = task_of(task)
    given = dict(changes or {})
    each: list[dict[str, Any]] = [{"optimizer": name} for name in optimizers] or [{}]
    known = set[str]().union(
        *(settings_of(task, model, given | of) for model in models.values() for of in each)
    )
    unknown = [key for key in given if key not in known or key in _ITS_OWN]
    if unknown:
        raise UsageError(f"none of {', '.join(models)} has {unknown[0]}")
    study = Study(
        name=task.rpartition(":")[2],
        title=found.title or type(found).__name__,
        recipe="torchmomentum.experiments.studies.training:training_recipe",
        axes={
            "model": tuple(models),
            **({"optimizer": tuple(optimizers)} if optimizers else {}),
            **(axes or {}),
        },
        settings={
            "task": task,
            "scale": scale,
            "shared": tuple(given),
            "models": {called: model for called, model in models.items() if called != model},
            **given,
        },
        seeds=seeds,
        metric=found.metric,
        higher_is_better=found.higher_is_better,
        table="comparison",
        figure="curves",
        view={"source": found.source},
    )
    return study, study.plan(seeds=seeds)
