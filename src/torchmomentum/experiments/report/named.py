"""A study's table and figure, by the names that :class:`~.study.Study` has for them."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.registry import FIGURES, TABLES
from torchmomentum.experiments.report.claims import claims
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results


def table(results: Results) -> Table:
    """A study's table, and below it what its paper says of it."""
    found: Table = TABLES.find(results.table)(results)
    return found._replace(below=claims(results))


def draw(results: Results, folder: Path) -> list[str]:
    """Draws a study's figure as PNG and SVG; returns the names without the ending."""
    if results.figure is None:
        return []
    names: list[str] = FIGURES.find(results.figure)(results, folder)
    return names
