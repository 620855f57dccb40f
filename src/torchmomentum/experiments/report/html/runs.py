"""Runs of trainings that no study has gathered yet: done, under way, failed, and their curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.html.differences import flat
from torchmomentum.experiments.report.html.sentences import listed
from torchmomentum.experiments.result import Result, Results

DONE, UNDER_WAY, FAILED = "done", "under way", "failed"
_SEEDS = ("order_seed", "init_seed", "seed")


class Run(NamedTuple):
    """A run by itself.

    Attributes:
        state: :data:`DONE`, :data:`UNDER_WAY` or :data:`FAILED`.
        result: What there is of it so far.
        written: When something of it was last written.
    """

    state: str
    result: Result
    written: str


class Row(NamedTuple):
    """A run in the table of runs.

    Attributes:
        cells: Task, model, seed.
        state: As above.
        told: How far it is, or why it failed.
        done: Epochs trained.
        of: Epochs in all; 0 where that is not known.
        metric: The latest test metric.
        written: As above.
    """

    cells: list[str]
    state: str
    told: str
    done: int
    of: int
    metric: str
    written: str


def task_of(recipe: Mapping[str, Any]) -> str:
    """What a run is of."""
    return str(recipe.get("task") or recipe.get("data") or recipe.get("kind"))


def _settings(recipe: Mapping[str, Any]) -> dict[str, str]:
    """All but the seeds."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in flat(recipe)
        if key not in _SEEDS
    }


def _names(all_settings: Sequence[dict[str, str]]) -> list[str]:
    """The model of each; where several settings have it, with what differs between them."""
    names = []
    for settings in all_settings:
        model = settings.get("model", settings.get("kind", "run"))
        same = [each for each in all_settings if each.get("model", each.get("kind")) == model]
        differ = [k for k in settings if len({each.get(k) for each in same}) > 1]
        names.append(", ".join([model, *(f"{k.rpartition('.')[2]} {settings[k]}" for k in differ)]))
    return names


def gathered(runs: Iterable[Run]) -> list[Results]:
    """The runs as results, a study for each task, an arm for each setting."""
    tasks: dict[str, list[Result]] = {}
    for run in runs:
        tasks.setdefault(task_of(run.result.recipe), []).append(run.result)
    return [_gathered(task, found) for task, found in tasks.items()]


def _gathered(task: str, found: list[Result]) -> Results:
    distinct: list[dict[str, str]] = []
    for result in found:
        settings = _settings(result.recipe)
        if settings not in distinct:
            distinct.append(settings)
    names = _names(distinct)
    runs = [
        replace(
            result,
            arm={"model": names[distinct.index(_settings(result.recipe))]},
            seed=next((result.recipe[k] for k in _SEEDS[1:] if k in result.recipe), 0),
        )
        for result in found
    ]
    return Results(
        study=task,
        title=f"Runs of {task}",
        scale="",
        axes={"model": names},
        seeds=sorted({run.seed for run in runs}),
        metric="metric",
        higher_is_better=None,
        table="",
        figure="curves",
        view={},
        runs=runs,
        jobs=1,
        provenance={},
    )


def rows(runs: Sequence[Run]) -> list[Row]:
    """A row for each run: those under way first, then the failed ones."""
    order = (UNDER_WAY, FAILED, DONE)
    found = []
    for results in gathered(runs):
        own = [run for run in runs if task_of(run.result.recipe) == results.study]
        found += [
            _row(results.study, run, named) for run, named in zip(own, results.runs, strict=True)
        ]
    return sorted(found, key=lambda row: order.index(row.state))


def _row(task: str, run: Run, named: Result) -> Row:
    of = int(run.result.recipe.get("epochs") or 0)
    epochs, metrics = (run.result.curves.get(key) or [0] for key in ("epoch", "test_metric"))
    done = int(epochs[-1])
    told = run.result.failed or (f"epoch {done} of {of}" if of else "")
    metric = words.number(metrics[-1]) if run.result.curves.get("test_metric") else "-"
    cells = [task, named.arm["model"], str(named.seed)]
    return Row(cells, run.state, told, done, of, metric, run.written)


def lead(runs: Sequence[Run]) -> str:
    """How many runs are in which state."""
    states = [run.state for run in runs]
    counts = {state: states.count(state) for state in (UNDER_WAY, FAILED, DONE)}
    told = [f"{words.counted(count, 'run')} {state}" for state, count in counts.items() if count]
    return f"{listed(told)}." if told else ""
