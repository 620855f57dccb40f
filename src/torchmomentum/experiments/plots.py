"""Learning curves of a comparison: each seed thin, their mean bold."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torchmomentum.experiments.files import write_with
from torchmomentum.experiments.report import by_model, converged

_CURVES = {"test_metric": "test {metric}", "train_loss": "training loss"}


def plot_comparison(results: dict[str, Any], folder: Path) -> list[str]:
    """Draws the curves as PNG and SVG, and returns their names without the ending."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names: list[str] = []
    for key, label in _CURVES.items():
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
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
        for ending in ("png", "svg"):
            write_with(folder / f"{key}.{ending}", partial(figure.savefig, format=ending, dpi=150))
        names.append(key)
    return names
