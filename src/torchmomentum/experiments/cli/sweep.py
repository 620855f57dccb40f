"""``torchmomentum sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchmomentum.experiments.cli.options import (
    Commands,
    add_place_options,
    add_recipe_options,
    add_search_options,
    jobs_of,
    need_extra,
    place_of,
    storage_of,
    training_settings,
)
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import TASKS


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    sweep = commands.add_parser(
        "sweep",
        help="search a training's settings, on any number of machines",
        description="The same command with the same --storage and --runs, on as many machines as "
        "one likes, shares the trials; one that dies is gone on with by another.",
    )
    sweep.add_argument("task", metavar="TASK", help=f"{', '.join(TASKS)}, or FILE.py:TASK")
    sweep.add_argument("--model", required=True, metavar="NAME", help="or FILE.py:MODEL")
    group = sweep.add_argument_group("search")
    add_search_options(group)
    group.add_argument("--trials", type=int, metavar="N", help="in all; not for a grid")
    group.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="trainings of a trial: 0 to N-1"
    )
    group.add_argument(
        "--prune", action="store_true", help="end trials early that are behind the median"
    )
    add_recipe_options(sweep)
    add_place_options(sweep)


def run(options: argparse.Namespace) -> None:
    """Searches the settings of a training."""
    need_extra()
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.studies.run import RESULTS, load_results, run_study
    from torchmomentum.experiments.studies.sweep import study_of, sweep_of
    from torchmomentum.experiments.sweeps.run import run_sweeps
    from torchmomentum.experiments.sweeps.space import parse

    jobs = jobs_of(options)
    sweep = sweep_of(
        training_settings(options, "sweep", jobs),
        parse(options.space) or None,
        trials=options.trials,
        seeds=options.seeds,
        sampler=options.sampler,
        prune=options.prune,
    )
    out = Path(options.out or f"runs/sweep-{options.task.rpartition(':')[2]}")
    place = place_of(options, out)
    if out.is_file():
        raise UsageError(f"{out} is a file; give another --out")
    if place.runs.exists() and not options.resume:
        raise UsageError(f"{place.runs} holds runs already; give --resume, or other --runs")
    if (out / RESULTS).exists() and load_results(out).view.get("search") != sweep.title:
        raise UsageError(f"{out} holds results of another search; give another --out")
    storage = storage_of(options, place)
    (trials,) = run_sweeps([sweep], place, storage, jobs=jobs, quiet=options.quiet)
    study = study_of(sweep, trials)
    runs = study.plan()
    results = run_study(
        study, runs, place, out, scale=options.scale, jobs=jobs, resume=True, quiet=True
    )
    show(results, out)
