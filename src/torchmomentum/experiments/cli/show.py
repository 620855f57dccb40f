"""A study's table on the terminal."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results

_WIDTH = 150  # at least: a narrow terminal or a pipe would break every cell


def print_table(found: Table, title: str) -> None:
    """Prints a table, what may be concluded from it, and what stands below it."""
    from rich import table as rich_table
    from rich.console import Console

    shown = rich_table.Table(title=title, caption=found.caption)
    for number, name in enumerate(found.head):
        words = number == 0 or name in ("verdict", "of", "statement", "note")
        shown.add_column(name, justify="left" if words else "right", overflow="fold")
    for row in found.rows:
        shown.add_row(*row)
    console = Console()
    Console(width=max(console.width, _WIDTH)).print(shown)
    if found.conclusion:
        print(found.conclusion)
    if found.below is not None:
        print_table(found.below, "what is said of it")


def show(results: Results, out: Path | None = None) -> None:
    """Prints a study's table, and where its results were written."""
    print_table(table(results), f"{results.study}: {results.title}")
    if out is not None:
        figures = " and figures (PNG, SVG)" if results.figure else ""
        print(f"written to {out}: results.json, table.md{figures}")
        print(f"one page of it: torchmomentum report {out}")
