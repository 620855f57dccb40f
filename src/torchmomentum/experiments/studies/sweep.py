"""A search over settings of one training, as a study of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import settings_of, training_recipe
from torchmomentum.experiments.study import Study
from torchmomentum.experiments.sweeps.proposals import grid_of
from torchmomentum.experiments.sweeps.space import Space, Values, space_of, values_of
from torchmomentum.experiments.sweeps.trials import Sweep, Trial
from torchmomentum.experiments.tasks import task_of

_RECIPE = "torchmomentum.experiments.studies.training:training_recipe"


def sweep_of(
    settings: Mapping[str, Any],
    space: Space | None,
    *,
    trials: int | None,
    seeds: int = 1,
    sampler: str = "tpe",
    prune: bool = False,
) -> Sweep:
    """What is to be tried of a training.

    Args:
        settings: As for :func:`~.training.training_recipe`: ``task``, ``model`` and others.
        space: What varies; None for the learning rate and the hyperparameters of momentum.
        trials: How many; None for all combinations of the space's values.
        seeds: Trainings of each trial: seeds 0 to ``seeds - 1``.
        sampler: A name of :data:`~.sweeps.proposals.SAMPLERS`; ``grid`` tries all combinations.
        prune: Ends trials early that are behind the others.

    Raises:
        UsageError: A setting that the training does not have, or a value out of its range.
    """
    if seeds < 1:
        raise UsageError(f"seeds must be at least 1, got {seeds}")
    recipe = training_recipe(settings, 0)
    task = task_of(recipe.task)
    tried = space_of(recipe) if space is None else dict(space)
    known = settings_of(settings["task"], settings["model"], settings)
    unknown = [name for name in tried if name not in known]
    if unknown:
        raise UsageError(f"a training of {settings['model']} has no {unknown[0]}")
    grid = grid_of(tried) if sampler == "grid" else []
    if grid and trials is not None:
        raise UsageError(f"a grid tries all its {len(grid)} combinations; leave out trials")
    if not grid and trials is None:
        raise UsageError("trials must be given, except for a grid")
    return Sweep(
        name=f"{task_name(recipe.task)} {recipe.model}",
        recipe=_RECIPE,
        settings=settings,
        space=tried,
        trials=len(grid) or trials or 0,
        seeds=range(seeds),
        higher_is_better=bool(task.higher_is_better),
        sampler=sampler,
        first=grid or [values_of(recipe, tried)],
        prune=prune,
    )


def task_name(task: str) -> str:
    """A task's name, without the file that it is from."""
    return task.rpartition(":")[2]


def study_of(sweep: Sweep, trials: Sequence[Trial]) -> Study:
    """The study whose arms are the trials that were not ended early.

    Raises:
        UsageError: All were.
    """
    whole = [trial for trial in trials if trial.is_whole]
    if not whole:
        raise UsageError("no trial was trained to its end")
    task = task_of(sweep.settings["task"])
    return Study(
        name=f"sweep-{task_name(sweep.settings['task'])}",
        title=task.title or type(task).__name__,
        recipe=sweep.recipe,
        arms=list({str(trial.values): trial.values for trial in whole}.values()),
        settings=sweep.settings,
        seeds=len(sweep.seeds),
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        table="trials",
        figure="landscape",
        view={
            "model": sweep.settings["model"],
            "search": sweep.title,
            "trial_runs": [name for trial in trials for name in trial.runs],
            "trials": len(trials),
            "pruned": len(trials) - len(whole),
            "space": {name: _kind(of) for name, of in sweep.space.items()},
            "source": task.source,
        },
    )


def _kind(of: Any) -> str:
    return "values" if isinstance(of, Values) else "log" if of.log else "range"
