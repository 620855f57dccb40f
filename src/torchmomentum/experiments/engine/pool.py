"""Computes many runs, one after the other or several at a time, with one display for all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from torchmomentum.experiments.engine.compute import Busy, compute, finished
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.engine.processes import agreed
from torchmomentum.experiments.engine.progress import RunsProgress
from torchmomentum.experiments.engine.workers import Bars, side_by_side
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.result import Result

LOOKED_EVERY = 2.0  # seconds between looks at what another process computes


def _compute(recipe: Recipe, place: Place, bars: Bars) -> Result | None:
    """Computes a run, and tells how far it is; None where another process is at it."""
    try:
        result = compute(recipe, place, Tell(partial(bars.update, recipe.folder)))
    except Busy:
        return None
    bars.finish(recipe.folder, told_of(result))
    return result


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
        found = agreed(partial(finished, recipe, place))
        if found is None:
            left.append(recipe)
        else:
            results[key] = found
    with RunsProgress(len(distinct), len(results), quiet=quiet) as bars:
        while left:
            found_now = _compute_some(left, place, jobs, bars)
            results |= found_now
            before, left = left, [recipe for recipe in left if recipe.key not in found_now]
            if len(left) == len(before):  # other processes are at all of them
                time.sleep(LOOKED_EVERY)
    return results


def _compute_some(
    recipes: Sequence[Recipe], place: Place, jobs: int, bars: Bars
) -> dict[str, Result]:
    """Computes the runs that no other process is at; returns their results by key."""
    found: dict[str, Result] = {}

    def done(index: int, result: Result | None) -> None:
        if result is not None:
            found[recipes[index].key] = result

    if jobs > 1 and len(recipes) > 1:
        calls = [(recipe, place) for recipe in recipes]
        side_by_side(_compute, calls, min(jobs, len(recipes)), bars, done)
    else:
        for index, recipe in enumerate(recipes):
            done(index, _compute(recipe, place, bars))
    return found


def told_of(result: Result) -> str:
    """A finished run in a few words."""
    if result.failed:
        return result.failed
    numbers = {k: v for k, v in result.values.items() if isinstance(v, float)}
    shown = [f"{key} {value:.4g}" for key, value in list(numbers.items())[:3]]
    if "train_seconds" in result.costs:
        shown.append(f"trained {result.costs['train_seconds']:.0f} s")
    return ", ".join([*shown, *([result.warning] if result.warning else [])]) or "done"
