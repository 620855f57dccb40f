"""``torchmomentum compare``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from torchmomentum.experiments.cli.options import (
    Commands,
    add_recipe_options,
    add_run_options,
    jobs_of,
    need_extra,
    place_of,
    plan_runs,
)
from torchmomentum.experiments.recipes import TASKS


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    compare = commands.add_parser("compare", help="train several models over several seeds")
    compare.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    compare.add_argument(
        "--models",
        default="lstm,momentum-lstm,adam-lstm,rmsprop-lstm,sr-lstm",
        metavar="A,B,...",
        help="the first is the baseline (default %(default)s)",
    )
    compare.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default 3)"
    )
    compare.add_argument(
        "--jobs", type=int, metavar="N", help="runs at a time (default: one for each CPU core)"
    )
    add_recipe_options(compare)
    add_run_options(compare)


def run(options: argparse.Namespace) -> None:
    """Trains several models over several seeds and prints which is better."""
    jobs = jobs_of(options)
    configs = plan_runs(options, max(1, (os.cpu_count() or 1) // jobs))
    need_extra()
    from torchmomentum.experiments.compare import compare

    place = place_of(options, Path("runs") / options.task)
    command = ["torchmomentum", *sys.argv[1:]]
    results = compare(configs, place, jobs=jobs, quiet=options.quiet, command=command)
    _show(results)
    print(f"written to {place.folder}: results.json, summary.md, learning curves (PNG, SVG)")


def _show(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from torchmomentum.experiments.report import COLUMNS, caption, table

    shown = Table(title=f"{results['task']}: {results['title']}", caption=caption(results))
    for number, name in enumerate(COLUMNS):
        shown.add_column(name, justify="left" if number in (0, 5) else "right", no_wrap=number < 6)
    for row in table(results):
        shown.add_row(*row)
    console = Console()
    # a table cut off by a narrow terminal or a pipe would hide the interval
    Console(width=max(console.width, 150)).print(shown)
