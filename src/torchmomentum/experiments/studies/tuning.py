"""Tunes one setting of every model alike, before they are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.result import validation_of
from torchmomentum.experiments.study import FRESH, Run, Study


@dataclass(frozen=True)
class Tuning:
    """What is tried of each model.

    Attributes:
        setting: A setting of trainings, such as ``lr``.
        values: What is tried of it: the same for every model.
        seeds: With how many seeds each, that test no model.
    """

    setting: str
    values: Sequence[Any]
    seeds: int = 2

    def __post_init__(self) -> None:
        if not self.values:
            raise UsageError(f"tuning {self.setting} needs at least one value")
        if self.seeds < 1:
            raise UsageError(f"tuning needs at least 1 seed, got {self.seeds}")


def _best(names: Sequence[str], scores: Mapping[str, float | None], higher: bool) -> str:
    """The name with the best score; the first where there is none."""
    known = [(score, name) for name in names if (score := scores[name]) is not None]
    if not known:
        return names[0]
    best = max if higher else min
    return best(known, key=lambda pair: pair[0])[1]


def _names(study: Study, tuning: Tuning) -> dict[str, list[str]]:
    """What each model is called with each value."""
    values = [f"@{tuning.setting}={value}" for value in tuning.values]
    return {model: [model + value for value in values] for model in study.axes["model"]}


def _with_values(study: Study, tuning: Tuning) -> Study:
    """The study of every model with every value."""
    names, settings = _names(study, tuning), {**study.settings}
    called: Mapping[str, str] = settings.get("models", {})  # what models with other names are
    if called:
        settings["models"] = {
            name: called[m] + name.removeprefix(m) for m in called for name in names[m]
        }
    axes = {**study.axes, "model": [name for of in names.values() for name in of]}
    return replace(study, axes=axes, settings=settings, tuning=None)


def trials_of(
    study: Study,
    tuning: Tuning,
    scale: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[Run]:
    """The runs of every model with every value, as for :func:`tuned`."""
    trials = _with_values(study, tuning)
    return trials.plan(scale, seeds=tuning.seeds, first=FRESH, changes=changes)


def tuned(
    study: Study,
    tuning: Tuning,
    place: Place,
    *,
    scale: str | None = None,
    changes: Mapping[str, Any] | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> Study:
    """The study whose models have the value that is best for each on validation samples.

    Its arms are ``MODEL@SETTING=VALUE``. A model that diverged with every value keeps the first.

    Args:
        study: Its axis is ``model``.
        tuning: What is tried.
        place: Where runs lie.
        scale: See :meth:`~.study.Study.plan`, as for the next.
        changes: Settings that the user chose.
        jobs: Runs at a time.
        quiet: Shows no progress.

    Raises:
        UsageError: A model cannot take the setting, or nothing is held out to tune on.
    """
    from torchmomentum.experiments.engine.pool import compute_all
    from torchmomentum.experiments.engine.training import check_held_out

    trials, names = _with_values(study, tuning), _names(study, tuning)
    runs = trials_of(study, tuning, scale, changes)
    check_held_out([run.recipe for run in runs], place)
    found = compute_all([run.recipe for run in runs], place, jobs=jobs, quiet=quiet)
    scores = {
        name: validation_of([found[run.recipe.key] for run in runs if run.arm["model"] == name])
        for name in trials.axes["model"]
    }
    kept = [_best(of, scores, bool(study.higher_is_better)) for of in names.values()]
    view = {
        **study.view,
        "tuned": tuning.setting,
        "tried": list(tuning.values),
        "trials": {name: score for name, score in scores.items() if score is not None},
        "tuning_seeds": sorted({run.seed for run in runs}),
    }
    return replace(trials, axes={**study.axes, "model": kept}, view=view)
