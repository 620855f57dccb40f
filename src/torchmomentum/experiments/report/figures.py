"""Every figure by its name: what :class:`~.study.Study` names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torchmomentum.experiments.report import curves, panels, ratios
from torchmomentum.experiments.result import Results

FIGURES: dict[str, Callable[[Results, Path], list[str]]] = {
    "curves": curves.learning_curves,
    "errors": curves.errors,
    "iterations": panels.iterations,
    "panels": panels.quantities,
    "ratios": ratios.bars,
}


def draw(results: Results, folder: Path) -> list[str]:
    """Draws a study's figure as PNG and SVG; returns the names without the ending."""
    if results.figure is None:
        return []
    return FIGURES[results.figure](results, folder)
