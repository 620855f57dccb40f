"""Computes many runs, one after the other or several at a time, with one display for all."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from typing import Any

from torchmomentum.experiments.engine.compute import Busy, compute, finished
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.progress import RunsProgress
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.registry import load_used
from torchmomentum.experiments.result import Result

_TOLD_EVERY = 0.2  # seconds between a worker's words
_LOOKED_EVERY = 2.0  # seconds between looks at what another process computes

Done = Callable[[Recipe, Result], None]


def _compute_in_worker(recipe: Recipe, place: Place, told: Any) -> Result | None:
    """Computes a run, and tells how far it is now and then; None where another is at it."""
    last = 0.0

    def tell(words: str, step: int, steps: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TOLD_EVERY:
            last = now
            told.put((recipe.folder, words, step, steps))

    try:
        return compute(recipe, place, tell)
    except Busy:
        return None


def _end_with_parent() -> None:
    """Ends this process once its parent is gone, killed or not; files are whole at any time."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    load_used()


def _one_by_one(
    recipes: Sequence[Recipe], place: Place, bars: RunsProgress, done: Done
) -> list[Recipe]:
    """Computes the runs here; returns those that another process is at."""
    busy = []
    for recipe in recipes:

        def tell(words: str, step: int, steps: int, name: str = recipe.folder) -> None:
            bars.update(name, words, step, steps)

        try:
            done(recipe, compute(recipe, place, tell))
        except Busy:
            busy.append(recipe)
    return busy


def _side_by_side(
    recipes: Sequence[Recipe], place: Place, jobs: int, bars: RunsProgress, done: Done
) -> list[Recipe]:
    """Computes the runs in processes; returns those that another process is at."""
    context, busy = multiprocessing.get_context("spawn"), list[Recipe]()
    manager = SyncManager(ctx=context)
    manager.start(_end_with_parent)
    with manager:
        told = manager.Queue()
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
        try:
            waiting: dict[str, tuple[Recipe, Future[Result | None]]] = {
                recipe.folder: (recipe, pool.submit(_compute_in_worker, recipe, place, told))
                for recipe in recipes
            }
            while waiting:
                try:
                    name, *news = told.get(timeout=_TOLD_EVERY)
                    if name in waiting:
                        bars.update(name, *news)
                except queue.Empty:
                    pass
                for name in [n for n, (_, future) in waiting.items() if future.done()]:
                    recipe, future = waiting.pop(name)
                    result = future.result()
                    if result is None:
                        busy.append(recipe)
                    else:
                        done(recipe, result)
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
    return busy


def compute_all(
    recipes: Sequence[Recipe], place: Place, *, jobs: int = 1, quiet: bool = False
) -> dict[str, Result]:
    """Computes all runs but those that are done; equal recipes once.

    Args:
        recipes: What to compute, in order.
        place: Where.
        jobs: Runs at a time, each in a process of its own where there are several.
        quiet: Shows no progress.

    Returns:
        Each recipe's result, by its key.

    Raises:
        UsageError: A setting that cannot be run here, missing data, or a damaged file.
    """
    distinct = {recipe.key: recipe for recipe in recipes}
    results: dict[str, Result] = {}
    left: list[Recipe] = []
    for key, recipe in distinct.items():
        recipe.check(place)
        found = finished(recipe, place)
        if found is None:
            left.append(recipe)
        else:
            results[key] = found
    with RunsProgress(len(distinct), len(results), quiet=quiet) as bars:

        def done(recipe: Recipe, result: Result) -> None:
            results[recipe.key] = result
            bars.finish(recipe.folder, told_of(result))

        while left:
            before = len(left)
            if jobs > 1 and len(left) > 1:
                left = _side_by_side(left, place, min(jobs, len(left)), bars, done)
            else:
                left = _one_by_one(left, place, bars, done)
            if left and len(left) == before:
                time.sleep(_LOOKED_EVERY)
    return results


def told_of(result: Result) -> str:
    """A finished run in a few words."""
    if result.failed:
        return result.failed
    numbers = {k: v for k, v in result.values.items() if isinstance(v, float)}
    shown = [f"{key} {value:.4g}" for key, value in list(numbers.items())[:3]]
    if "train_seconds" in result.costs:
        shown.append(f"trained {result.costs['train_seconds']:.0f} s")
    return ", ".join([*shown, *([result.warning] if result.warning else [])]) or "done"
