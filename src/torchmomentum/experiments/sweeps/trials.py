"""Trials of one training: proposed, computed, told to a storage that any number of machines share.

A trial is taken by whoever holds its lock in the folder of runs. The system gives the lock back if
the process dies, so that another takes the trial up, and its run goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from torchmomentum.experiments.engine.compute import Busy, compute
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.engine.pool import LOOKED_EVERY, told_of
from torchmomentum.experiments.engine.workers import Bars
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.registry import attribute
from torchmomentum.experiments.result import Result, validation_of
from torchmomentum.experiments.sweeps.proposals import SAMPLERS, suggested
from torchmomentum.experiments.sweeps.space import Space
from torchmomentum.experiments.sweeps.storage import opened

LOCKS = ".trials"  # below the folder of runs
FAILED, VALUES, RUNS = "failed", "values", "runs"  # what a storage is told of a trial besides
PRUNED, REJECTED = "pruned", "rejected"  # the first words of why a trial has not trained to its end


@dataclass(frozen=True)
class Sweep:
    """What is tried of one training, as data.

    Attributes:
        name: What it is called.
        recipe: ``"module:function"``: ``function(settings, seed)`` makes a recipe.
        settings: What all trials have in common.
        space: What varies.
        trials: How many.
        seeds: With which seeds each is trained; the mean over them counts.
        higher_is_better: Which way the validation metric improves.
        sampler: A name of :data:`~.proposals.SAMPLERS`.
        first: Values that are tried before any that are proposed.
        prune: Whether a trial ends early that is behind the median of the others at its epoch.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any]
    space: Space
    trials: int
    seeds: Sequence[int]
    higher_is_better: bool
    sampler: str = "tpe"
    first: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    prune: bool = False

    def __post_init__(self) -> None:
        check_name("sampler", self.sampler, SAMPLERS)
        if self.trials < 1:
            raise UsageError(f"trials must be at least 1, got {self.trials}")
        if not self.seeds:
            raise UsageError("a trial needs at least 1 seed, got 0")
        if not self.space:
            raise UsageError(f"{self.name} has nothing to try")

    def recipes(self, values: Mapping[str, Any]) -> list[Recipe]:
        """The runs of a trial."""
        make = attribute(self.recipe)
        return [make({**self.settings, **values}, seed) for seed in self.seeds]

    @property
    def title(self) -> str:
        """What the storage knows it by: its name, and a hash of all but the number of trials."""
        basis = [run.key for run in self.recipes({})]
        space = {name: repr(of) for name, of in self.space.items()}
        told = [basis, space, self.sampler, [dict(each) for each in self.first], self.prune]
        text = json.dumps(told, sort_keys=True)
        return f"{self.name} {hashlib.sha256(text.encode()).hexdigest()[:8]}"


class Trial(NamedTuple):
    """A trial that has ended.

    Attributes:
        number: Its place in the order of proposals.
        values: What was tried.
        score: The mean of the validation metric at its best epoch; None where it has none.
        said: Why it has none: diverged, pruned, or values that no training has.
        runs: The folders of its runs.
    """

    number: int
    values: dict[str, Any]
    score: float | None
    said: str = ""
    runs: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether its runs came to their end, though they diverged."""
        return not self.said.startswith((PRUNED, REJECTED))


class _Pruned(Exception):
    """A trial is behind the others."""


def _study(sweep: Sweep, storage: Any) -> Any:
    import optuna

    return optuna.create_study(
        storage=storage,
        study_name=sweep.title,
        direction="maximize" if sweep.higher_is_better else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )


def _folder(sweep: Sweep, place: Place) -> Path:
    return place.runs / LOCKS / sweep.title.rpartition(" ")[2]


def _proposed(study: Any) -> list[Any]:
    """All trials but those that nobody has begun."""
    from optuna.trial import TrialState

    return [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]


def _queue(sweep: Sweep, study: Any) -> None:
    """Has what is to be tried first tried first."""
    if study.user_attrs.get("queued"):
        return
    for values in sweep.first:
        study.enqueue_trial(dict(values), {VALUES: dict(values)}, skip_if_exists=True)
    study.set_user_attr("queued", True)


def _take(sweep: Sweep, study: Any, folder: Path) -> tuple[Any, FileLock] | None:
    """A trial of a process that is gone, or a new one, and its lock; None where there is none."""
    import optuna

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "take.lock"):
        _queue(sweep, study)
        begun = _proposed(study)
        for each in begun:
            if each.state != optuna.trial.TrialState.RUNNING:
                continue
            lock = _locked(folder, each.number)
            if lock is not None and _is_running(study, each.number):  # still, now that it is ours
                return optuna.trial.Trial(study, each._trial_id), lock
            if lock is not None:
                lock.release()
        if len(begun) >= sweep.trials:
            return None
        trial = study.ask()
        lock = _locked(folder, trial.number)
        if lock is None:
            raise UsageError(f"{folder} has a lock of another search; give another folder")
        return trial, lock


def _is_running(study: Any, number: int) -> bool:
    """Whether nobody has told a trial's end by now."""
    return any(
        each.number == number and not each.state.is_finished()
        for each in study.get_trials(deepcopy=False)
    )


def _locked(folder: Path, number: int) -> FileLock | None:
    lock = FileLock(folder / f"{number}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


class _Watched(Tell):
    """Tells a trial's bar, and the storage what its first seed has reached."""

    def __init__(self, at: Any, trial: Any) -> None:
        super().__init__(at)
        self._trial = trial

    def recorded(self, record: Mapping[str, float]) -> None:
        """Ends a trial that is behind.

        Raises:
            _Pruned: It is.
        """
        if "validation_metric" in record:
            with warnings.catch_warnings():  # of an epoch that was told before the process died
                warnings.simplefilter("ignore", UserWarning)
                self._trial.report(record["validation_metric"], int(record["epoch"]))
            if self._trial.should_prune():
                raise _Pruned(f"{PRUNED} after epoch {int(record['epoch'])}")


def _computed(recipe: Recipe, place: Place, tell: Tell) -> Result:
    """A run's result, waited for where another process is at it."""
    while True:
        try:
            return compute(recipe, place, tell)
        except Busy:
            time.sleep(LOOKED_EVERY)


def _try(sweep: Sweep, study: Any, trial: Any, place: Place, bars: Bars) -> None:
    """Computes a trial's runs, and tells the storage what they gave."""
    import optuna

    proposed = suggested(sweep.space, trial, sweep.sampler)
    values = {**proposed, **trial.user_attrs.get(VALUES, {})}
    name = f"{sweep.name} {_words(values)}-{trial.number}"
    trial.set_user_attr(VALUES, values)
    results = []
    try:
        recipes = sweep.recipes(values)
        trial.set_user_attr(RUNS, [recipe.folder for recipe in recipes])
        for index, recipe in enumerate(recipes):
            recipe.check(place)
            at = partial(bars.update, name)
            watched = sweep.prune and index == 0
            tell = _Watched(at, trial) if watched else Tell(at)
            results.append(_computed(recipe, place, tell))
        score = validation_of(results)
    except _Pruned as reason:
        score, said = None, str(reason)
    except UsageError as error:  # given again, the command goes on without this trial
        trial.set_user_attr(FAILED, f"{REJECTED}: {error}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise UsageError(f"trial {trial.number}, {_words(values)}: {error}") from error
    else:
        said = next((r.failed for r in results if r.failed is not None), None) or ""
    if score is None:
        trial.set_user_attr(FAILED, said)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, score)
    bars.finish(name, said or told_of(results[0]))


def _words(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def work(sweeps: Sequence[Sweep], place: Place, storage: str, bars: Bars) -> None:
    """Computes trials, whoever proposed them, until every search has all of its own.

    Args:
        sweeps: Are worked on in turn.
        place: Where runs lie.
        storage: As for :func:`~.storage.opened`.
        bars: Shows how far trials are.

    Raises:
        UsageError: A setting that cannot be run here, missing data, or no storage.
    """
    with opened(storage) as held:
        searches = [(sweep, _study(sweep, held), _folder(sweep, place)) for sweep in sweeps]
        while not _step(searches, place, bars):
            pass


def _step(searches: Sequence[tuple[Sweep, Any, Path]], place: Place, bars: Bars) -> bool:
    """Computes a trial of each search; returns whether all have all of their own."""
    taken = False
    for sweep, study, folder in searches:
        found = _take(sweep, study, folder)
        if found is not None:
            taken = True
            trial, lock = found
            try:
                _try(sweep, study, trial, place, bars)
            finally:
                lock.release()
    if not taken and any(_count(study, sweep) < sweep.trials for sweep, study, _ in searches):
        time.sleep(LOOKED_EVERY)  # others are at the last ones, and may die
        return False
    return not taken


def _count(study: Any, sweep: Sweep) -> int:
    """How many trials have ended, those included that others told of without our words."""
    return sum(each.state.is_finished() for each in _proposed(study)[: sweep.trials])


def trials_of(sweeps: Sequence[Sweep], storage: str) -> list[list[Trial]]:
    """The trials of each search that have ended, in the order of their numbers.

    Those beyond a search's number are left out: another command may have asked for more.

    Raises:
        UsageError: No storage.
    """
    with opened(storage) as held:
        return [_ended(_study(sweep, held), sweep) for sweep in sweeps]


def _ended(study: Any, sweep: Sweep) -> list[Trial]:
    found = []
    for each in _proposed(study)[: sweep.trials]:
        if each.state.is_finished() and VALUES in each.user_attrs:
            said = each.user_attrs.get(FAILED, "")
            score = None if said else each.value  # Optuna's own has what was told before the end
            runs = tuple(each.user_attrs.get(RUNS, ()))
            found.append(Trial(each.number, each.user_attrs[VALUES], score, said, runs))
    return found
