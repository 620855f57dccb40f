"""The recipe of one training of the MomentumRNN paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torchmomentum.experiments.recipe import Recipe, Training
from torchmomentum.experiments.studies.gradients import GradientNorms
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.studies.trivial import Trivial


def row(settings: Mapping[str, Any], seed: int) -> Recipe:
    """One row of a table: a training, or with ``-`` for ``N`` a trivial prediction.

    Args:
        settings: As for :func:`training`.
        seed: For everything random; a trivial prediction has nothing random.
    """
    if settings["N"] != "-":
        return training(settings, seed)
    any_model = {**settings, "model": "awd-lstm"}  # the data does not depend on it
    del any_model["N"]
    return Trivial.beside(settings["model"], training(any_model, 0))


def training(settings: Mapping[str, Any], seed: int) -> Training:
    """A model with the hyperparameters of Tables 6 to 10.

    Args:
        settings: ``task``, ``N``, ``model`` and, where there is one, ``length`` as published; under
            ``by_task`` what a scale makes smaller, among it ``units`` by ``N``, ``lengths`` by
            ``length`` and ``stand_in``, another task; and what the user changed.
        seed: For everything random.
    """
    given = dict(settings)
    task, sizes = given.pop("task"), dict[str, Any]()
    for name, word in (("hidden_size", "N"), ("length", "length")):
        if word in given:
            sizes[name] = given.pop(word)
    smaller = dict(given.pop("by_task", {}).get(task, {}))
    words = (("hidden_size", "units"), ("length", "lengths"))
    smaller_sizes = {name: smaller.pop(word, {}) for name, word in words}
    return training_recipe(
        {
            "scale": "paper",
            "task": smaller.pop("stand_in", task),
            **smaller,
            **given,
            **{name: smaller_sizes[name].get(size, size) for name, size in sizes.items()},
            "like": sizes,
        },
        seed,
    )


def gradients(settings: Mapping[str, Any], seed: int) -> GradientNorms:
    """A training of Figure 2, whose gradients are recorded every ``every`` iterations."""
    given = dict(settings)
    every = given.pop("every")
    made = training(given, seed)
    return GradientNorms(**{f.name: getattr(made, f.name) for f in fields(made)}, every=every)
