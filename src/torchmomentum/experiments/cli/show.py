"""A study's table on the terminal."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.result import Results

_WIDTH = 150  # at least: a narrow terminal or a pipe would break every cell


def show(results: Results, out: Path | None = None) -> None:
    """Prints the table, and where its results were written."""
    from rich.console import Console
    from rich.table import Table

    found = table(results)
    shown = Table(title=f"{results.study}: {results.title}", caption=found.caption)
    for number, name in enumerate(found.head):
        words = number == 0 or name == "verdict"
        shown.add_column(name, justify="left" if words else "right", overflow="fold")
    for row in found.rows:
        shown.add_row(*row)
    console = Console()
    Console(width=max(console.width, _WIDTH)).print(shown)
    if out is not None:
        figures = " and figures (PNG, SVG)" if results.figure else ""
        print(f"written to {out}: results.json, table.md{figures}")
