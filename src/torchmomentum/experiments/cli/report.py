"""``torchmomentum report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchmomentum.experiments.cli.options import Commands
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.registry import TABLES


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    report = commands.add_parser("report", help="show recorded results again")
    report.add_argument(
        "results", metavar="RESULTS", type=Path, help="a folder with results, or results.json"
    )
    report.add_argument(
        "--into", metavar="FILE", type=Path, help="a document with the marks of --mark"
    )
    report.add_argument("--mark", default="results", metavar="NAME", help="<!-- NAME:begin --> ...")
    report.add_argument(
        "--table", metavar="NAME", help="another table of the same runs: time-to-accuracy"
    )
    report.add_argument("--figures", action="store_true", help="draw the figures again as well")


def run(options: argparse.Namespace) -> None:
    """Prints recorded results, or puts them between the marks of a document."""
    from torchmomentum.experiments.report.document import document, insert
    from torchmomentum.experiments.report.named import draw
    from torchmomentum.experiments.studies.run import load_results

    path: Path = options.results
    results = load_results(path)
    if options.table is not None:
        results.table = check_name("table", options.table, TABLES)
    try:
        text = document(results)
        if options.figures:
            draw(results, path if path.is_dir() else path.parent)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        kind = type(error).__name__
        raise UsageError(f"{path} cannot be shown as {results.table}: {kind} {error}") from error
    if options.into is None:
        print(text)
    else:
        insert(options.into, options.mark, text)
