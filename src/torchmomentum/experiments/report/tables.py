"""Every table by its name: what :class:`~.study.Study` names."""

from __future__ import annotations

from collections.abc import Callable

from torchmomentum.experiments.report import timings
from torchmomentum.experiments.report.comparison import comparison
from torchmomentum.experiments.report.errors import errors
from torchmomentum.experiments.report.iterations import iterations
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results

TABLES: dict[str, Callable[[Results], Table]] = {
    "comparison": comparison,
    "errors": errors,
    "iterations": iterations,
    **timings.TABLES,
}


def table(results: Results) -> Table:
    """A study's table."""
    return TABLES[results.table](results)
