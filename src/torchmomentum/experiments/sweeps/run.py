"""Runs searches to their end, in as many processes as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.progress import RunsProgress
from torchmomentum.experiments.engine.workers import side_by_side
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
    done = sum(len(trials_of(sweep, storage)) for sweep in sweeps)
    total = sum(sweep.trials for sweep in sweeps)
    with RunsProgress(total, done, quiet=quiet) as bars:
        while jobs > 1:
            before = sum(len(trials_of(sweep, storage)) for sweep in sweeps)
            try:
                calls = [(sweeps, place, storage)] * min(jobs, total)
                side_by_side(work, calls, len(calls), bars, lambda index, returned: None)
                break
            except BrokenExecutor:
                if sum(len(trials_of(sweep, storage)) for sweep in sweeps) <= before:
                    raise
        else:
            work(sweeps, place, storage, bars)
    return [trials_of(sweep, storage) for sweep in sweeps]


def _check(sweep: Sweep, place: Place) -> None:
    """Rejects values that a training cannot have, before anything is trained.

    Raises:
        UsageError: One is among those to try, or an end of a range.
    """
    for name, of in sweep.space.items():
        for value in of.values if isinstance(of, Values) else (of.low, of.high):
            for recipe in sweep.recipes({name: value}):
                recipe.check(place)


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
