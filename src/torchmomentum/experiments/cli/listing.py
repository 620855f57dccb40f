"""``torchmomentum list``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from torchmomentum.experiments.cli.options import Commands
from torchmomentum.experiments.registry import (
    BENCHMARKS,
    CELLS,
    FIGURES,
    MODELS,
    OPTIMIZERS,
    RULES,
    STUDIES,
    TABLES,
    TASKS,
)


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    commands.add_parser("list", help="list tasks, models, studies, benchmarks")


def _tasks() -> Iterator[str]:
    from torchmomentum.experiments.studies.training import defaults
    from torchmomentum.experiments.study import SCALES
    from torchmomentum.experiments.tasks import task_of

    for name in TASKS:
        task = task_of(name)
        if not task.rules and not task.recipe:
            yield f"{name}: {task.title}"
            continue
        told: dict[tuple[str, ...], list[str]] = {}
        for scale in SCALES:
            told.setdefault(tuple(_lines(task, defaults(task, scale))), []).append(scale)
        for (words, *rules), scales in told.items():
            yield f"{name} --scale {'|'.join(scales)}: {task.title}; {words}"
            yield from rules


def _lines(task: Any, values: dict[str, Any]) -> Iterator[str]:
    """A task's hyperparameters, and those of each rule on a line of its own."""
    told = {k: v for k, v in values.items() if v is not None and k in _SHOWN}
    yield ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items())
    for rule in task.rules:
        yield f"    {rule}: {_words(task.rule_options(rule, values))}"


_SHOWN = ("optimizer", "lr", "batch_size", "epochs", "hidden_size", "length")


def _words(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())


def _studies() -> Iterator[str]:
    for name in STUDIES:
        study = STUDIES.find(name)
        for scale in study.scales or ("paper",):
            runs = study.plan(scale)
            arms = {axis: dict.fromkeys(run.arm[axis] for run in runs) for axis in runs[0].arm}
            words = "; ".join(f"{axis} {', '.join(map(str, v))}" for axis, v in arms.items())
            yield f"reproduce {name} --scale {scale}: {study.title}; {words}; {len(runs)} runs"


def run(options: argparse.Namespace) -> None:
    """Prints what is known by a name."""
    for line in _tasks():
        print(line)
    print(f"cells: {', '.join(CELLS)}")
    print(f"rules: {', '.join(RULES)}")
    print(f"models: each cell, RULE-CELL, {', '.join(MODELS)}")
    print(f"optimizers: {', '.join(OPTIMIZERS)}")
    print(f"tables: {', '.join(TABLES)}")
    print(f"figures: {', '.join(FIGURES)}")
    for line in _studies():
        print(line)
    for name in BENCHMARKS:
        print(f"bench {name}: {BENCHMARKS.find(name).title}")
    print("bench time-to-accuracy: training time until a model is as good as the first")
