"""``torchmomentum report``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torchmomentum.experiments.cli.options import Commands, need_extra
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.registry import TABLES

if TYPE_CHECKING:
    from torchmomentum.experiments.result import Results

_PAGE = "report.html"


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    report = commands.add_parser("report", help="make one HTML page of recorded results")
    report.add_argument(
        "paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="a folder with results or runs, or results.json",
    )
    report.add_argument(
        "--out", metavar="FILE", type=Path, help=f"the page (default {_PAGE} in the first PATH)"
    )
    report.add_argument(
        "--table", metavar="NAME", help="another table of the same runs: time-to-accuracy"
    )
    report.add_argument("--figures", action="store_true", help="draw the figures again as well")
    text = report.add_argument_group("Markdown instead of a page, of one PATH")
    text.add_argument("--markdown", action="store_true", help="print it")
    text.add_argument(
        "--into", metavar="FILE", type=Path, help="put it into a document with the marks of --mark"
    )
    text.add_argument("--mark", metavar="NAME", help="<!-- NAME:begin --> ..., default results")


def run(options: argparse.Namespace) -> None:
    """Makes a page of recorded results, or a table in Markdown."""
    if options.table is not None:
        check_name("table", options.table, TABLES)
    if options.mark is not None and options.into is None:
        raise UsageError("--mark is of the document that --into names")
    if options.markdown or options.into is not None:
        _write_markdown(options)
    else:
        _write_page(options)


@contextmanager
def _shown_as(path: Path, results: Results) -> Iterator[None]:
    """Tells in one line that a table or a figure is not made for some results.

    Raises:
        UsageError: It is not.
    """
    try:
        yield
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        raise UsageError(f"{path} cannot be shown as {results.table}: {kind} {error}") from error


def _draw(results: Results, folder: Path) -> None:
    from torchmomentum.experiments.report.named import draw

    with _shown_as(folder, results):
        draw(results, folder)


def _write_markdown(options: argparse.Namespace) -> None:
    """Prints a table, or puts it between the marks of a document.

    Raises:
        UsageError: Several paths, the file of a page, or results that the table is not made for.
    """
    from torchmomentum.experiments.report.document import document, insert
    from torchmomentum.experiments.studies.run import load_results

    if len(options.paths) > 1:
        raise UsageError(f"Markdown is of one PATH, got {len(options.paths)}")
    if options.out is not None:
        raise UsageError("--out is the page's file; Markdown is printed, or goes --into a document")
    path: Path = options.paths[0]
    results = load_results(path)
    results.table = options.table or results.table
    with _shown_as(path, results):
        text = document(results)
    if options.figures:
        _draw(results, path if path.is_dir() else path.parent)
    if options.into is None:
        print(text, end="")
    else:
        insert(options.into, options.mark or "results", text)


def _write_page(options: argparse.Namespace) -> None:
    """Makes the page and says where it is.

    Raises:
        UsageError: There is nothing to show.
    """
    need_extra("plotly", "jinja2", "tensorboard")
    from torchmomentum.experiments.files import write_text
    from torchmomentum.experiments.report.html.page import page
    from torchmomentum.experiments.studies.recorded import find

    first: Path = options.paths[0]
    found = find(options.paths)
    if not (found.studies or found.runs or found.damaged):
        raise UsageError(f"{', '.join(map(str, options.paths))} has no results, no runs")
    for file, results in found.studies:
        results.table = options.table or results.table
        if options.figures:
            _draw(results, Path(file).parent)
    out: Path = options.out or (first if first.is_dir() else first.parent) / _PAGE
    write_text(out, page(found.studies, found.runs, found.damaged))
    print(f"written to {out}")
