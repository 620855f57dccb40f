"""``torchmomentum report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchmomentum.experiments.cli.options import Commands
from torchmomentum.experiments.errors import UsageError


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    report = commands.add_parser("report", help="show recorded results again")
    report.add_argument("results", metavar="RESULTS.JSON", type=Path)
    report.add_argument(
        "--into", metavar="FILE", type=Path, help="a document with the marks of --mark"
    )
    report.add_argument("--mark", default="results", metavar="NAME", help="<!-- NAME:begin --> ...")


def run(options: argparse.Namespace) -> None:
    """Prints recorded results, or puts them between the marks of a document."""
    from torchmomentum.experiments.bench.report import markdown
    from torchmomentum.experiments.files import read_json
    from torchmomentum.experiments.images.report import markdown as trained
    from torchmomentum.experiments.report import insert, markdown_table
    from torchmomentum.experiments.reproduce.report import markdown as reproduced

    try:
        results = read_json(options.results)
        if "methods" in results:
            text = reproduced(results)
        elif "images" in results:
            text = trained(results)
        else:
            text = markdown(results) if "kind" in results else markdown_table(results)
    except FileNotFoundError as error:
        raise UsageError(f"{options.results} does not exist") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{options.results} holds no recorded results: {error}") from error
    if options.into is None:
        print(text)
    else:
        insert(options.into, options.mark, text)
