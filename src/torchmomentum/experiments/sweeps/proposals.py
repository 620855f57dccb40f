"""What is tried next: Optuna's samplers and distributions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.sweeps.space import Space, Values

SAMPLERS = ("tpe", "random", "grid")
_SEED = 0  # of all searches
_AT_RANDOM = 5  # trials before TPE has a model of them


def suggested(space: Space, trial: Any, sampler: str) -> dict[str, Any]:
    """A trial's values: those that it has, and for the others what a sampler proposes.

    Each value is drawn by itself: a trial whose process died amid them goes on with the same.

    Args:
        space: What is tried.
        trial: Optuna's.
        sampler: One of :data:`SAMPLERS`.
    """
    found: dict[str, Any] = {}
    for index, (name, of) in enumerate(space.items()):
        trial.study.sampler = sampler_of(sampler, trial.number, index)
        if isinstance(of, Values):
            found[name] = trial.suggest_categorical(name, of.values)
        elif of.whole:
            found[name] = trial.suggest_int(name, of.low, of.high, log=of.log)
        else:
            found[name] = of.rounded(trial.suggest_float(name, of.low, of.high, log=of.log))
    return found


def sampler_of(name: str, number: int, index: int) -> Any:
    """A sampler for one value of one trial: it knows no more than these and the trials before.

    Args:
        name: One of :data:`SAMPLERS`; a grid's values are queued, so that nothing is drawn.
        number: The trial's.
        index: The value's, in the order of the space.
    """
    from optuna.samplers import RandomSampler, TPESampler

    drawn = int(np.random.SeedSequence((_SEED, number, index)).generate_state(1)[0])
    if name == "tpe":
        return TPESampler(seed=drawn, n_startup_trials=_AT_RANDOM)
    return RandomSampler(seed=drawn)


def grid_of(space: Space) -> list[Mapping[str, Any]]:
    """All combinations of the values of a space.

    Raises:
        UsageError: A setting has a range.
    """
    for name, of in space.items():
        if not isinstance(of, Values):
            raise UsageError(f"a grid needs values of {name}, NAME=X,X,..., not a range")
    values = [of.values for of in space.values() if isinstance(of, Values)]
    return [dict(zip(space, each, strict=True)) for each in itertools.product(*values)]
