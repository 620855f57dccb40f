"""``torchmomentum compare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchmomentum.experiments.cli.options import (
    RULE_OPTIONS,
    Commands,
    add_place_options,
    add_recipe_options,
    add_search_options,
    given,
    jobs_of,
    names_of,
    need_extra,
    place_of,
    settings_set,
    storage_of,
    threads_of,
)
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_text
from torchmomentum.experiments.registry import TASKS
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.study import Study

if TYPE_CHECKING:
    from torchmomentum.experiments.engine.place import Place

DEFAULT = "lstm,momentum-lstm,adam-lstm,rmsprop-lstm,sr-lstm"


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    compare = commands.add_parser("compare", help="train several models over several seeds")
    compare.add_argument(
        "task",
        metavar="TASK,...",
        help=f"{', '.join(TASKS)}, or FILE.py:TASK; several are told together as well",
    )
    add_models(compare, DEFAULT)
    add_recipe_options(compare, optimizers=True)
    add_place_options(compare)
    add_tuning(compare)


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """What is tuned of each arm before the comparison."""
    group = parser.add_argument_group(
        "tuning (each arm gets the same trials on validation samples, then is compared at its best)"
    )
    group.add_argument(
        "--tune",
        metavar="N",
        help="trials of each arm's learning rate and momentum's hyperparameters, or of --space; "
        "NAME=X,X,... tries these values",
    )
    group.add_argument(
        "--tuning-seeds", type=int, default=1, metavar="N", help="trainings of each trial"
    )
    add_search_options(group)


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

    models = named(names_of(options.models))
    if not models:
        raise UsageError("models needs at least one name")
    models = with_controls(models) if options.controls else models
    lists = given(options, RULE_OPTIONS)
    single = {name: values[0] for name, values in lists.items() if len(values) == 1}
    several = {name: values for name, values in lists.items() if len(values) > 1}
    expand(models, lists)  # rejects what no model takes
    changes = {"threads": threads} | given(options) | settings_set(options) | single
    optimizers = names_of(changes.get("optimizer", ""))
    if len(optimizers) > 1:
        del changes["optimizer"]
    return comparison(
        options.task,
        expand(models, several),
        scale=options.scale,
        seeds=options.seeds,
        changes=changes,
        optimizers=optimizers if len(optimizers) > 1 else (),
    )


def _search(options: argparse.Namespace) -> Any:
    """What is to be tuned.

    Raises:
        UsageError: ``--tune`` is neither a number of trials nor values to try.
    """
    from torchmomentum.experiments.studies.search import Search
    from torchmomentum.experiments.sweeps.space import parse

    if "=" in options.tune and options.sampler not in ("tpe", "grid"):
        raise UsageError(f"--tune {options.tune} tries all values; --sampler is for --tune N")
    if "=" in options.tune:
        return Search(None, parse([options.tune, *options.space]), seeds=options.tuning_seeds)
    try:
        trials = int(options.tune)
    except ValueError:
        raise UsageError(
            f"tune must be a number of trials or NAME=X,X,..., got {options.tune}"
        ) from None
    return Search(trials, parse(options.space) or None, options.sampler, options.tuning_seeds)


def _tuned(study: Study, search: Any, options: argparse.Namespace, place: Place, jobs: int) -> Any:
    """The study of the arms, each at its best, and its runs."""
    from torchmomentum.experiments.studies.search import searched

    storage = storage_of(options, place)
    found = searched(study, search, place, storage, jobs=jobs, quiet=options.quiet)
    return found, found.plan(seeds=options.seeds)


def run(options: argparse.Namespace) -> None:
    """Trains several models over several seeds and prints which is better."""
    need_extra()
    if not options.tune:
        unused: dict[str, Any] = {"space": [], "sampler": "tpe", "storage": None, "tuning_seeds": 1}
        for name, default in unused.items():
            if getattr(options, name) != default:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is how --tune tries; give --tune N too")
    tasks = names_of(options.task)
    if len(tasks) > 1:
        _run_several(options, tasks)
        return
    study, runs = plan(options, threads_of(jobs_of(options)))
    _run_one(options, study, runs, Path(options.out or f"runs/{study.name}"))


def _run_several(options: argparse.Namespace, tasks: Sequence[str]) -> None:
    """Compares the same models on each task, and then on all together."""
    from torchmomentum.experiments.cli.show import print_table
    from torchmomentum.experiments.report.together import together
    from torchmomentum.experiments.studies.compare import named

    out = Path(options.out or "runs/together")
    each = [argparse.Namespace(**{**vars(options), "task": task}) for task in tasks]
    threads = threads_of(jobs_of(options))
    planned = [(one, *plan(one, threads)) for one in each]  # tells mistakes of all first
    named([study.name for _, study, _ in planned], "tasks")
    found = [_run_one(one, study, runs, out / study.name) for one, study, runs in planned]
    table = together(found)
    print_table(table, f"{', '.join(results.study for results in found)} together")
    write_text(out / "together.md", "\n".join([table.caption, "", *table.lines()]) + "\n")
    print(f"written to {out / 'together.md'}")


def _run_one(options: argparse.Namespace, study: Study, runs: Any, out: Path) -> Results:
    """Runs one comparison and shows it."""
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.studies.run import check_out, run_study

    jobs, place = jobs_of(options), place_of(options, out)
    if options.tune:
        search = _search(options)
        check_out(study, options.scale, runs, place, out, options.resume)
        study, runs = _tuned(study, search, options, place, jobs)
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
    return results
