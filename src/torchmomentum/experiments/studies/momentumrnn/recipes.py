"""The recipe of one training of the MomentumRNN paper, and what was published of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.training import training_recipe


def training(settings: Mapping[str, Any], seed: int) -> Training:
    """One row of a table: a model with the hyperparameters of Tables 6 to 10.

    Args:
        settings: ``task``, ``N`` and ``model`` as published; under ``by_task`` what a scale makes
            smaller, among it ``units`` by ``N`` and ``stand_in``, another task; and what the user
            changed.
        seed: For everything random.
    """
    given = dict(settings)
    size, task = given.pop("N"), given.pop("task")
    smaller = dict(given.pop("by_task", {}).get(task, {}))
    units, stand_in = smaller.pop("units", {}), smaller.pop("stand_in", task)
    return training_recipe(
        {
            "scale": "paper",
            **smaller,
            **given,
            "task": stand_in,
            "hidden_size": units.get(size, size),
            "like": {"hidden_size": size},
        },
        seed,
    )


def published(results: Results) -> dict[str, Any]:
    """What the paper has of each arm, from tables of :mod:`~.published.momentumrnn`.

    Its SRLSTM is the released form, beside which the form that the paper prints stands with the
    same numbers.
    """
    names = [column["from"] for column in results.view["columns"]]
    found = list[list[Any]]()
    for arm in results.arms():
        key = (arm["task"], arm["N"], arm["model"].removeprefix("released-"))
        tables: dict[str, momentumrnn.Values] = {n: getattr(momentumrnn, n) for n in names}
        found.append([arm, {n: table[key] for n, table in tables.items() if key in table}])
    return {"published": found}
