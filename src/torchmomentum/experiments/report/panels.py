"""Quantities along the iterations, on logarithmic axes, the seeds as a band."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from torchmomentum.experiments.report.canvas import new_axes, new_grid, save
from torchmomentum.experiments.report.iterations import curve, methods
from torchmomentum.experiments.result import Results


def _draw(axes: Any, x: Any, table: Any, number: int, name: str) -> None:
    axes.plot(x, table.mean(0), color=f"C{number}", label=name, linewidth=1.5)
    if len(table) > 1:
        low, high = table.min(0), table.max(0)
        axes.fill_between(x, low, high, color=f"C{number}", alpha=0.2)


def _finish(every: list[Any]) -> None:
    for axes in every:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


def iterations(results: Results, folder: Path) -> list[str]:
    """The study's one quantity."""
    figure, axes = new_axes(7, 4.4)
    for number, arm in enumerate(methods(results)):
        k, table = curve(results, arm)
        _draw(axes, k + 1, table, number, arm["method"])
    axes.set_xlabel("iteration k + 1")
    axes.set_ylabel(results.view["quantity"])
    axes.set_title(results.title)
    _finish([axes])
    return [save(figure, folder / "curves")]


def quantities(results: Results, folder: Path) -> list[str]:
    """Every quantity against iterations and against seconds."""
    names = results.view["panels"]
    figure, grid = new_grid(9, 3 * len(names), len(names), 2)
    for row, name in zip(grid, names, strict=True):
        for number, arm in enumerate(methods(results)):
            k, table = curve(results, arm, name)
            seconds = np.mean(curve(results, arm, results.view["seconds"])[1], 0)
            _draw(row[0], k + 1, table, number, arm["method"])
            _draw(row[1], seconds, table, number, arm["method"])
        row[0].set_xlabel("iteration k + 1")
        row[1].set_xlabel("seconds of sampling")
        for axes in row:
            axes.set_ylabel(name)
    figure.suptitle(results.title)
    _finish(list(grid.ravel()))
    return [save(figure, folder / "curves")]
