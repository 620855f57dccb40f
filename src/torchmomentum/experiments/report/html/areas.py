"""Heat maps, bars and points: charts of what is no curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.grid import Map, maps_of
from torchmomentum.experiments.report.html.chart import Chart, figure
from torchmomentum.experiments.report.ratios import ratio
from torchmomentum.experiments.report.statistics import mean_and_std
from torchmomentum.experiments.report.trials import map_of_trials, points_of
from torchmomentum.experiments.result import Results, ended, values

_WHAT = {"state": "dL/dh", "input": "dL/dx"}
_FLOOR = 1e-6  # of the largest gradient: what is smaller has the colour of it


def maps(results: Results) -> Iterator[Chart]:
    """A measure over two hyperparameters: the stronger the colour, the better."""
    one, two = results.view["grid"]
    for found in maps_of(results):
        yield _heat(found, one, two)


def _heat(found: Map, one: str, two: str) -> Chart:
    title, better, rows, columns, cells = found
    hover = f"{escape(two)} %{{x}}, {escape(one)} %{{y}}: <b>%{{z:.4g}}</b><extra></extra>"
    data: dict[str, Any] = {
        "type": "heatmap",
        "x": [f"{each:g}" for each in columns],
        "y": [f"{each:g}" for each in rows],
        "z": cells,
        "texttemplate": "%{z:.2f}",
        "hovertemplate": hover,
        "reversescale": not better,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
    }
    kind: Any = {"type": "category"}
    shown = figure([data], two, one, xaxis=kind, yaxis={**kind, "autorange": "reversed"})
    way = "higher" if better else "lower"
    told = f"Heat map of {title}, {one} by {two}; the values are in the table"
    return Chart(f"{title} ({way} is better)", told, shown)


def search(results: Results) -> Iterator[Chart]:
    """The scores of a search as a map, or against each setting."""
    found = map_of_trials(results)
    if found is not None:
        yield _heat(found, *results.view["space"])
        return
    label = f"validation {results.metric}"
    for name, of in results.view["space"].items():
        points = points_of(results, name)
        data = {
            "type": "scatter",
            "mode": "markers",
            "meta": 0,
            "x": [at for at, _ in points],
            "y": [score for _, score in points],
        }
        shown = figure([data], name, label, xaxis={"type": "log"} if of == "log" else {})
        told = f"{label} of {len(points)} trials against {name}; the best are in the table"
        yield Chart(f"{label} by {name}", told, shown)


def gradients(results: Results) -> Iterator[Chart]:
    """For each model the norms' logarithm: step over iteration."""
    for arm in results.arms():
        run = results.of(arm)[0]
        for key, name in _WHAT.items():
            steps = list(zip(*run.curves[key], strict=True))  # a row for each step
            most = max(map(max, steps)) or 1.0
            data = {
                "type": "heatmap",
                "x": run.curves["iteration"],
                "y": list(range(1, len(steps) + 1)),
                "z": [[math.log10(max(v, _FLOOR * most)) for v in row] for row in steps],
                "hovertemplate": "iteration %{x}, step %{y}: 10^%{z:.2f}<extra></extra>",
                "colorscale": "Viridis",
                "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": "log10"}},
            }
            title = f"{name}, {words.arm_name(results, arm)}"
            told = f"Heat map of the norm of {title}, by step and iteration; a summary is the table"
            yield Chart(title, told, figure([data], "iteration", "step"))


def bars(results: Results) -> Iterator[Chart]:
    """Ratios to the first, with their quartiles."""
    names, data = list(results.runs[0].values), list[dict[str, Any]]()
    for number, name in enumerate(names):
        runs = [run for run in results.runs if name in run.values]
        found = [ratio(results, run.values[name]) for run in runs]
        trace: dict[str, Any] = {
            "type": "bar",
            "name": name,
            "meta": number,
            "x": [run.arm["item"] for run in runs],
            "y": [middle for middle, _ in found],
        }
        if all(quartiles is not None for _, quartiles in found):
            spread = [(m - q[0], q[1] - m) for m, q in found if q is not None]
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "arrayminus": [max(0.0, low) for low, _ in spread],
                "array": [max(0.0, high) for _, high in spread],
            }
        data.append(trace)
    one = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1}
    item = results.view["item"]
    shown = figure(data, item, f"ratio to {names[0]}", xaxis={"type": "category"}, shapes=[one])
    told = f"Bars of ratios to {names[0]} by {item}; the values are in the table"
    yield Chart(f"Ratios to {names[0]}", told, shown)


def points(results: Results, key: str = "chosen") -> Iterator[Chart]:
    """Each arm's mean with its standard deviation, where nothing was recorded along the way."""
    names, means, deviations = list[str](), list[float](), list[float]()
    for arm in results.arms():
        found = [v for v in values(ended(results.of(arm)), key) if isinstance(v, (int, float))]
        if found:
            mean, deviation = mean_and_std(found)
            names.append(words.arm_name(results, arm))
            means.append(mean)
            deviations.append(deviation or 0.0)
    if names:
        data = {
            "type": "scatter",
            "mode": "markers",
            "meta": 0,
            "x": means,
            "y": names,
            "error_x": {"type": "data", "array": deviations},
        }
        told = f"{results.metric} of each arm with its standard deviation; it is in the table"
        yield Chart(results.metric, told, figure([data], results.metric, ""))
