"""``torchmomentum compare``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchmomentum.experiments.cli.options import (
    RULE_OPTIONS,
    Commands,
    add_place_options,
    add_recipe_options,
    given,
    jobs_of,
    need_extra,
    place_of,
    settings_set,
)
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import TASKS
from torchmomentum.experiments.study import Study

if TYPE_CHECKING:
    from torchmomentum.experiments.engine.place import Place

DEFAULT = "lstm,momentum-lstm,adam-lstm,rmsprop-lstm,sr-lstm"


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    compare = commands.add_parser("compare", help="train several models over several seeds")
    compare.add_argument("task", metavar="TASK", help=f"{', '.join(TASKS)}, or FILE.py:TASK")
    add_models(compare, DEFAULT)
    compare.add_argument(
        "--tune",
        metavar="NAME=X,X,...",
        help="tries these values with 2 seeds, and compares each model at what is best for it on "
        "validation samples",
    )
    add_recipe_options(compare)
    add_place_options(compare)


def add_models(parser: argparse.ArgumentParser, models: str) -> None:
    """What is compared, and over how many seeds."""
    parser.add_argument(
        "--models",
        default=models,
        metavar="A,B,...",
        help="names, FILE.py:MODEL, either with @OPTION=VALUE after it; the first is the baseline "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="adds models that change the scale of the drive and have no momentum",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default %(default)s)"
    )


def plan(options: argparse.Namespace, threads: int) -> Any:
    """The study that the command line asks for, and its runs.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    from torchmomentum.experiments.studies.compare import comparison, expand, named, with_controls

    models = named([name.strip() for name in options.models.split(",") if name.strip()])
    if not models:
        raise UsageError("models needs at least one name")
    models = with_controls(models) if options.controls else models
    lists = given(options, RULE_OPTIONS)
    single = {name: values[0] for name, values in lists.items() if len(values) == 1}
    several = {name: values for name, values in lists.items() if len(values) > 1}
    expand(models, lists)  # rejects what no model takes
    changes = {"threads": threads} | given(options) | settings_set(options) | single
    return comparison(
        options.task,
        expand(models, several),
        scale=options.scale,
        seeds=options.seeds,
        changes=changes,
    )


def _tuned(study: Study, options: argparse.Namespace, place: Place, jobs: int) -> Study:
    """The study of the models, each at its best value.

    Raises:
        UsageError: ``--tune`` has another form.
    """
    from torchmomentum.experiments.models import setting
    from torchmomentum.experiments.studies.tuning import Tuning, tuned

    name, _, listed = options.tune.partition("=")
    pairs = [setting(f"{name}={value}") for value in listed.split(",")]
    tuning = Tuning(pairs[0][0], [value for _, value in pairs])
    found = tuned(study, tuning, place, jobs=jobs, quiet=options.quiet)
    view = {**found.view, "references": [study.axes["model"][0]]}
    return replace(found, table="tuned", view=view)


def run(options: argparse.Namespace) -> None:
    """Trains several models over several seeds and prints which is better."""
    need_extra()
    jobs = jobs_of(options)
    study, runs = plan(options, max(1, (os.cpu_count() or 1) // jobs))
    out = Path(options.out or f"runs/{study.name}")
    place = place_of(options, out)
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.studies.run import check_out, run_study

    if options.tune:
        check_out(study, options.scale, runs, place, out, options.resume)
        study = _tuned(study, options, place, jobs)
        runs = study.plan(seeds=options.seeds)
    results = run_study(
        study,
        runs,
        place,
        out,
        scale=options.scale,
        jobs=jobs,
        resume=options.resume or bool(options.tune),  # what was tuned on is there by now
        quiet=options.quiet,
    )
    show(results, out)
