"""Figures without a window, written whole or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torchmomentum.experiments.files import write_with


def new_axes(width: float, height: float) -> Any:
    """A figure, and its axes."""
    figure, grid = new_grid(width, height, 1, 1)
    return figure, grid[0, 0]


def new_grid(width: float, height: float, rows: int, columns: int) -> Any:
    """A figure, and an array of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def marker(points: int) -> str | None:
    """What makes a curve of one point visible."""
    return "o" if points == 1 else None


def save(figure: Any, path: Path, dpi: int = 150) -> str:
    """Writes a figure as PNG and SVG; the path is without the ending. Returns its name.

    Equal figures give equal bytes: no date, and names that do not change.
    """
    from matplotlib import rc_context

    for ending, metadata in (("png", {}), ("svg", {"Date": None})):
        draw = partial(figure.savefig, format=ending, dpi=dpi, metadata=metadata)
        with rc_context({"svg.hashsalt": path.name}):
            write_with(path.with_suffix(f".{ending}"), draw)
    return path.name
