"""Ratios to a baseline as bars, with their quartiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.report.canvas import new_axes, save
from torchmomentum.experiments.result import Results


def ratio(results: Results, value: dict[str, Any]) -> tuple[float, tuple[float, float] | None]:
    """The ratio of an entry to the baseline, and its quartiles where there are any."""
    which = results.view.get("ratio")
    found = value if which is None else value[which]
    quartiles = found.get("ratio_quartiles")
    return float(found["ratio"]), None if quartiles is None else (quartiles[0], quartiles[1])


def bars(results: Results, folder: Path) -> list[str]:
    """A group of bars for each size; the whiskers are the quartiles over rounds."""
    figure, axes = new_axes(9, 4.4)
    runs, names = results.runs, list(results.runs[0].values)
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        at = [i + number * width for i in range(len(runs))]
        found = [ratio(results, run.values[name]) for run in runs]
        middles = [middle for middle, _ in found]
        spread: Any = None
        if all(quartiles is not None for _, quartiles in found):
            ends = [(m - q[0], q[1] - m) for m, q in found if q is not None]
            spread = [[max(0.0, low) for low, _ in ends], [max(0.0, high) for _, high in ends]]
        axes.bar(at, middles, width, yerr=spread, label=name, error_kw={"linewidth": 0.8})
    axes.axhline(1.0, color="black", linewidth=0.8)
    labels = [run.arm["item"] for run in runs]
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(runs))], labels, fontsize=8)
    axes.set_xlabel(results.view["item"])
    axes.set_ylabel(f"ratio to {names[0]}")
    axes.set_title(results.title)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the bars
    return [save(figure, folder / results.study, dpi=120)]
