"""Which charts a study has: by what its runs recorded."""

from __future__ import annotations

from torchmomentum.experiments.report.html import areas, lines
from torchmomentum.experiments.report.html.chart import Chart
from torchmomentum.experiments.result import Results


def charts(results: Results) -> tuple[list[Chart], list[str]]:
    """A study's charts, and the names of the lines that all of them share.

    A line's number is what the ``meta`` of its traces says.
    """
    recorded = {key for run in results.runs for key in run.curves}
    if results.figure == "landscape":
        return list(areas.search(results)), []
    if "grid" in results.view:
        return list(areas.maps(results)), []
    if {"state", "input", "iteration"} <= recorded:
        return list(areas.gradients(results)), []
    if "x" in results.view:
        return list(lines.iterating(results)), lines.lines(results)
    if "epoch" in recorded:
        return list(lines.learning(results)), lines.lines(results)
    if results.figure == "ratios":
        return list(areas.bars(results)), list(results.runs[0].values)
    if all("chosen" in run.values for run in results.runs if run.failed is None):
        return list(areas.points(results)), []
    return [], []
