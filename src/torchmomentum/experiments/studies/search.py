"""Tunes every arm of a comparison by a search of its own, with the same number of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import with_options
from torchmomentum.experiments.report.tuned import arm_key
from torchmomentum.experiments.studies.training import settings_of
from torchmomentum.experiments.study import FRESH, Run, Study
from torchmomentum.experiments.sweeps.proposals import grid_of
from torchmomentum.experiments.sweeps.run import best_of, run_sweeps
from torchmomentum.experiments.sweeps.space import Range, Space, Values, space_of, values_of
from torchmomentum.experiments.sweeps.trials import Sweep, Trial


@dataclass(frozen=True)
class Search:
    """What is tried of each arm, by trials of which all arms get the same number.

    Attributes:
        trials: Of each arm; None for all combinations of a space's values.
        space: What varies; None for the learning rate and the hyperparameters of the arm's rule.
        sampler: A name of :data:`~.sweeps.proposals.SAMPLERS`.
        seeds: Trainings of each trial, with seeds that the comparison has not.
    """

    trials: int | None
    space: Space | None = None
    sampler: str = "tpe"
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"tuning seeds must be at least 1, got {self.seeds}")
        if self.trials is None and self.space is None:
            raise UsageError("a grid needs values to try")
        if self.trials is not None and type(self.trials) is not int:
            raise UsageError(f"tune must be a whole number of trials, got {self.trials!r}")
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"tune must be at least 1 trial, got {self.trials}")
        if self.trials is not None and self.sampler == "grid":
            raise UsageError(f"a grid tries all values, --tune NAME=X,X,..., not {self.trials}")

    @property
    def trial_seeds(self) -> range:
        """Of each trial's trainings."""
        return range(FRESH, FRESH + self.seeds)

    def of(self, study: Study, run: Run) -> Sweep | None:
        """The trials of one arm; None where it takes nothing of what is tried."""
        settings, model = {**study.settings, **run.arm}, run.arm["model"]
        name, fixed = with_options(settings.get("models", {}).get(model, model))
        recipe: Any = run.recipe
        space: Mapping[str, Values | Range]
        if self.space is None:
            space = space_of(recipe, [*fixed])
        else:
            takes = settings_of(settings["task"], name, settings)
            space = {k: v for k, v in self.space.items() if k in takes and k not in fixed}
        if not space:
            return None
        if self.trials is None:
            first: list[Mapping[str, Any]] = grid_of(space)
        else:
            first = [values_of(recipe, space)]
        return Sweep(
            name=f"{study.name} {arm_key(run.arm)}",
            recipe=study.recipe,
            settings=settings,
            space=space,
            trials=self.trials or len(first),
            seeds=self.trial_seeds,
            higher_is_better=bool(study.higher_is_better),
            sampler="grid" if self.trials is None else self.sampler,
            first=first,
        )


def searched(
    study: Study,
    search: Search,
    place: Place,
    storage: str,
    *,
    jobs: int = 1,
    quiet: bool = False,
) -> Study:
    """The study whose arms have the values that a search found best for each.

    Args:
        study: One of its axes is ``model``.
        search: What is tried.
        place: Where runs lie.
        storage: As for :func:`~.sweeps.storage.opened`.
        jobs: Trials at a time.
        quiet: Shows no progress.

    Raises:
        UsageError: No arm takes what is tried, or nothing is held out to tune on.
    """
    arms = study.plan(seeds=1)
    sweeps = [search.of(study, run) for run in arms]
    tried = [sweep for sweep in sweeps if sweep is not None]
    for name in search.space or ():
        if not any(name in sweep.space for sweep in tried):
            raise UsageError(f"no model of {study.name} has {name} to tune")
    if not tried:
        raise UsageError(f"no model of {study.name} has anything to tune")
    trials = iter(run_sweeps(tried, place, storage, jobs=jobs, quiet=quiet))
    kept, view, called = [], dict[str, Any](), dict(study.settings.get("models", {}))
    names: list[str] = []  # of the trials' runs
    taken = {arm_key(run.arm) for run in arms}
    for run, sweep in zip(arms, sweeps, strict=True):
        arm, found = {**run.arm}, [] if sweep is None else next(trials)
        if sweep is not None:
            best = best_of(found, sweep.higher_is_better)
            suffix = "".join(f"@{key}={value}" for key, value in best.values.items())
            model = called.get(arm["model"], arm["model"]) + suffix
            arm["model"] += suffix
            if arm_key(arm) in taken:  # that of another arm, whose name fixes these values
                arm["model"] += " tuned"
            if arm["model"] != model:
                called[arm["model"]] = model
        taken.add(arm_key(arm))
        kept.append(arm)
        names += [name for trial in found for name in trial.runs]
        view[arm_key(arm)] = _told(run, sweep, found)
    settings = {**study.settings, "models": called}
    seeds = {"tuning_seeds": [*search.trial_seeds]}
    told = {**study.view, "searched": view, **seeds, "trial_runs": names}
    return replace(study, axes={}, arms=kept, settings=settings, table="tuned", view=told)


def _told(run: Run, sweep: Sweep | None, trials: Sequence[Trial]) -> dict[str, Any]:
    """What the results keep of an arm's search."""
    best = best_of(trials, sweep.higher_is_better) if sweep is not None else None
    return {
        "arm": run.arm,
        "values": {} if best is None else best.values,
        "trials": [[trial.values, trial.score, trial.said] for trial in trials],
    }
