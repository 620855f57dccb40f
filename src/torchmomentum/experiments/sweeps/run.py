"""Runs searches to their end, in as many processes as one likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.progress import RunsProgress
from torchmomentum.experiments.engine.workers import Bars, side_by_side
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.sweeps.space import Values
from torchmomentum.experiments.sweeps.trials import Sweep, Trial, trials_of, work


def run_sweeps(
    sweeps: Sequence[Sweep], place: Place, storage: str, *, jobs: int = 1, quiet: bool = False
) -> list[list[Trial]]:
    """Computes all trials of some searches, with whoever else works on the same storage.

    A worker that dies takes the others of this process with it; all are started again, as long as
    each time some trial ends.

    Args:
        sweeps: The searches.
        place: Where runs lie: the same folder for all machines.
        storage: As for :func:`~.storage.opened`: the same for all machines.
        jobs: Trials at a time, each in a process of its own where there are several.
        quiet: Shows no progress.

    Returns:
        The trials of each search.

    Raises:
        UsageError: A setting that cannot be run here, missing data, or no storage.
        BrokenExecutor: Workers die before any trial ends.
    """
    for sweep in sweeps:
        _check(sweep, place)
    place.runs.mkdir(parents=True, exist_ok=True)  # what is rejected leaves none
    total, done = sum(sweep.trials for sweep in sweeps), _ended(sweeps, storage)
    with RunsProgress(total, done, quiet=quiet) as bars:
        if jobs > 1:
            calls = [(sweeps, place, storage)] * min(jobs, total)
            _work_in_processes(calls, bars, done)
        else:
            work(sweeps, place, storage, bars)
    return trials_of(sweeps, storage)


def _ended(sweeps: Sequence[Sweep], storage: str) -> int:
    """How many trials have ended."""
    return sum(map(len, trials_of(sweeps, storage)))


def _work_in_processes(
    calls: Sequence[tuple[Sequence[Sweep], Place, str]], bars: Bars, done: int
) -> None:
    """Has a worker for each call, and all started again where one dies after some trial ended."""
    sweeps, _, storage = calls[0]
    while True:
        try:
            side_by_side(work, calls, len(calls), bars, lambda index, returned: None)
            return
        except BrokenExecutor:
            before, done = done, _ended(sweeps, storage)
            if done <= before:
                raise


def _check(sweep: Sweep, place: Place) -> None:
    """Rejects values that a training cannot have, before anything is trained.

    Raises:
        UsageError: One is among those to try, or an end of a range, or holds nothing out.
    """
    from torchmomentum.experiments.engine.training import check_held_out

    tried: list[Mapping[str, Any]] = [
        {name: value}
        for name, of in sweep.space.items()
        for value in (of.values if isinstance(of, Values) else (of.low, of.high))
    ]
    tried += sweep.first  # all that there are of a grid
    recipes = [sweep.recipes(values)[0] for values in tried]
    for recipe in recipes:
        recipe.check(place)
    check_held_out(recipes, place)


def best_of(trials: Sequence[Trial], higher_is_better: bool) -> Trial:
    """The trial with the best score, the earliest of equals; the first where none has one.

    Raises:
        UsageError: There is no trial.
    """
    if not trials:
        raise UsageError("no trial of the search was computed; give another --storage")
    known = [trial for trial in trials if trial.score is not None]
    best = max if higher_is_better else min
    return best(known, key=lambda trial: trial.score or 0.0) if known else trials[0]
