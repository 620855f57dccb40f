"""A comparison as a study: models on one task, over several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import hyperparameters, model_of, with_options
from torchmomentum.experiments.studies.training import settings_of
from torchmomentum.experiments.study import Run, Study
from torchmomentum.experiments.tasks import task_of

CONTROLS = ("gain", "learned-gain", "standardized", "rms", "layer-norm")


def with_controls(models: Sequence[str]) -> list[str]:
    """The models, and behind them the controls of the first one's cell."""
    cell = with_options(models[0])[0].rpartition("-")[2]
    return [*models, *(f"{control}-{cell}" for control in CONTROLS)]


def _takes(model: str) -> set[str]:
    """The options that a model and its rule take."""
    name, own = with_options(model)
    found = model_of(name)
    return {*found.options, *(hyperparameters(found.rule) if found.rule else ())} - {*own}


def expand(models: Sequence[str], lists: Mapping[str, Sequence[Any]]) -> list[str]:
    """A model for each combination of the listed options that it takes.

    Raises:
        UsageError: No model takes an option that is listed, or a model is named twice.

    Example:
        >>> expand(["lstm", "momentum-lstm"], {"mu": [0.3, 0.6]})
        ['lstm', 'momentum-lstm@mu=0.3', 'momentum-lstm@mu=0.6']
    """
    if len({*models}) < len(models):
        raise UsageError(f"models names one twice: {','.join(models)}")
    taken = {model: _takes(model) for model in models}
    for key in lists:
        if not any(key in options for options in taken.values()):
            raise UsageError(f"none of {','.join(models)} has {key}")
    found: list[str] = []
    for model, options in taken.items():
        mine = {key: values for key, values in lists.items() if key in options}
        for combination in itertools.product(*mine.values()):
            pairs = zip(mine, combination, strict=True)
            found.append("@".join([model, *(f"{key}={value}" for key, value in pairs)]))
    return found


def comparison(
    task: str,
    models: Sequence[str],
    *,
    scale: str = "desk",
    seeds: int = 3,
    changes: Mapping[str, Any] | None = None,
    axes: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[Study, list[Run]]:
    """The study of some models on a task, and its runs.

    Args:
        task: A task's name, or ``file.py:Name``.
        models: Their names, or ``file.py:Name``, with options behind them (``NAME@OPTION=VALUE``)
            or not; the first is the baseline.
        scale: ``smoke``, ``desk`` or ``paper``.
        seeds: Seeds 0 to ``seeds - 1``.
        changes: What differs from the task's recipe, for all models; one that does not have an
            option is trained without.
        axes: Further axes, by the name of a setting.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    if not models:
        raise UsageError("models needs at least one name")
    found = task_of(task)
    given = dict(changes or {})
    known = set[str]().union(*(settings_of(task, model, given) for model in models))
    unknown = [key for key in given if key not in known]
    if unknown:
        raise UsageError(f"none of {', '.join(models)} has {unknown[0]}")
    study = Study(
        name=task.rpartition(":")[2],
        title=found.title or type(found).__name__,
        recipe="torchmomentum.experiments.studies.training:training_recipe",
        axes={"model": tuple(models), **(axes or {})},
        settings={"task": task, "scale": scale, "shared": tuple(given), **given},
        seeds=seeds,
        metric=found.metric,
        higher_is_better=found.higher_is_better,
        table="comparison",
        figure="curves",
        view={"source": found.source},
    )
    return study, study.plan(seeds=seeds)
