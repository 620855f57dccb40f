"""Learning curves of a comparison: each seed thin, their mean bold."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torchmomentum.experiments.files import write_with
from torchmomentum.experiments.report import by_model, converged

_CURVES = {"test_metric": "test {metric}", "train_loss": "training loss"}


def new_axes(width: float, height: float) -> Any:
    """A figure without a window, and its axes."""
    figure, grid = new_grid(width, height, 1, 1)
    return figure, grid[0, 0]


def new_grid(width: float, height: float, rows: int, columns: int) -> Any:
    """A figure without a window, and an array of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Any, path: Path, dpi: int = 150) -> None:
    """Writes a figure as PNG and SVG, all of it or nothing; the path is without the ending.

    Of the same figure the same bytes: no date, and names that do not change.
    """
    from matplotlib import rc_context

    for ending, metadata in (("png", {}), ("svg", {"Date": None})):
        draw = partial(figure.savefig, format=ending, dpi=dpi, metadata=metadata)
        with rc_context({"svg.hashsalt": path.name}):
            write_with(path.with_suffix(f".{ending}"), draw)


def plot_comparison(results: dict[str, Any], folder: Path) -> list[str]:
    """Draws the curves as PNG and SVG, and returns their names without the ending."""
    names: list[str] = []
    for key, label in _CURVES.items():
        figure, axes = new_axes(7, 4.2)
        for number, (model, runs) in enumerate(by_model(results).items()):
            runs = converged(runs)
            if not runs:
                continue
            curves = [[record[key] for record in run["history"]] for run in runs]
            epochs = [record["epoch"] for record in runs[0]["history"]]
            for curve in curves:
                axes.plot(epochs, curve, color=f"C{number}", alpha=0.25, linewidth=0.8)
            mean = [sum(values) / len(values) for values in zip(*curves, strict=True)]
            axes.plot(epochs, mean, color=f"C{number}", linewidth=2, label=model)
        if not results["higher_is_better"]:
            axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label.format(metric=results["metric"]))
        axes.set_title(f"{results['task']}, {len(results['seeds'])} seeds")
        axes.grid(alpha=0.3)
        axes.legend()
        save(figure, folder / key)
        names.append(key)
    return names
