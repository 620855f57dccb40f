"""Curves as charts: each seed thin, their mean bold, a chart for each panel of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torchmomentum.experiments.report.curves import ends, positive
from torchmomentum.experiments.report.html.chart import Chart, figure, numbers
from torchmomentum.experiments.report.html.sentences import capital
from torchmomentum.experiments.report.iterations import curve, methods
from torchmomentum.experiments.report.series import Series, series
from torchmomentum.experiments.result import Result, Results, ended

_LINES = ("model", "method", "optimizer")  # the axis whose values are lines, not panels
_TICKS = 6  # at most, of a logarithmic axis
_THIN, _BOLD, _PALE = 1, 2.5, 0.35
Arm = dict[str, Any]


def line_axis(results: Results) -> str:
    """The axis whose values are the lines of a chart."""
    return next((axis for axis in _LINES if axis in results.axes), list(results.axes)[-1])


def lines(results: Results) -> list[str]:
    """The names of the lines, which all panels share."""
    return [str(value) for value in results.axes[line_axis(results)]]


def _panels(results: Results) -> dict[str, list[Arm]]:
    """The arms of each chart, by what they have in common."""
    line, found = line_axis(results), dict[str, list[Arm]]()
    others = [axis for axis, values in results.axes.items() if axis != line and len(values) > 1]
    for arm in results.arms():
        name = ", ".join(
            str(arm[axis]) if axis == "task" else f"{axis} {arm[axis]}" for axis in others
        )
        found.setdefault(name, []).append(arm)
    return found


def _seeds(number: int, name: str, each: Sequence[Any], dash: str) -> dict[str, Any]:
    """The curves of all seeds as one thin trace, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for at, values in each:
        x += [*at, None]
        y += [*values, None]
    thin = {"width": _THIN, "dash": dash}
    style = {"mode": "lines", "line": thin, "opacity": _PALE, "hoverinfo": "skip"}
    return {"type": "scatter", "name": name, "meta": number, "x": x, "y": y, **style}


def traces(
    number: int, name: str, found: Series | None, stopped: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """The traces of one arm: its seeds where there are several, what failed, and the mean."""
    shown = [_seeds(number, f"{name}, failed", stopped, "dot")] if stopped else []
    if found is None:
        return shown
    if len(found.each) > 1:
        shown.insert(0, _seeds(number, name, found.each, "solid"))
    mean = {"type": "scatter", "name": name, "meta": number, "x": found.x, "y": found.mean}
    mode = "lines" if len(found.mean) > 1 else "markers"
    hover = "%{fullData.name}<br>%{x}: <b>%{y:.5g}</b><extra></extra>"
    style = {"mode": mode, "line": {"width": _BOLD}, "hovertemplate": hover}
    return [*shown, {**mean, **style}]


def _curves(runs: list[Result], y: str) -> tuple[Series | None, list[Any]]:
    """An arm's curves: of the runs that did not fail, and of those that did."""
    drawn = [run for run in runs if run.curves.get(y)]
    failed = [(run.curves["epoch"], run.curves[y]) for run in drawn if run.failed is not None]
    done = ended(drawn)
    return series(done, "epoch", y) if done else None, failed


def _learning_chart(results: Results, panel: str, arms: list[Arm], y: str, label: str) -> Chart:
    names, data = lines(results), list[dict[str, Any]]()
    columns: dict[str, Sequence[float]] = {}
    at: list[float] = []
    for arm in arms:
        name = str(arm[line_axis(results)])
        found, failed = _curves(results.of(arm), y)
        data += traces(names.index(name), name, found, failed)
        if found is not None:
            columns[name], at = found.mean, max(at, found.x, key=len)
    rising = y == "test_metric" and results.higher_is_better is not False
    log = {} if rising or not positive(results, y) else {"type": "log", "nticks": _TICKS}
    title = f"{panel}: {label}" if panel else capital(label)
    told = f"{title} against epochs, {len(columns)} lines: {', '.join(columns)}"
    shown = figure(data, "epoch", label, yaxis=log)
    return Chart(title, told, shown, numbers("epoch", at, columns))


def learning(results: Results) -> Iterator[Chart]:
    """The test metric and the losses against epochs."""
    metric = results.metric if results.metric.startswith("test") else f"test {results.metric}"
    second = {"test_loss": "test loss"} if results.figure == "losses" else {"test_metric": metric}
    for panel, arms in _panels(results).items():
        trained = [arm for arm in arms if any(run.curves for run in results.of(arm))]
        for key, label in (*second.items(), ("train_loss", "training loss")):
            if trained:
                yield _learning_chart(results, panel, trained, key, label)
    if results.view.get("axis") in ("depth", "epochs"):
        yield _ends(results)


def _ends(results: Results) -> Chart:
    """The last errors with their deviations."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "meta": lines(results).index(optimizer),
            "x": at,
            "y": means,
            "error_y": {"type": "data", "array": deviations},
        }
        for name, optimizer, at, means, deviations in ends(results)
    ]
    title = f"Test error by {results.view['axis']}"
    shown = figure(data, results.view["axis"], "test error, %")
    return Chart(title, f"{title}, with standard deviations over seeds", shown)


def iterating(results: Results) -> Iterator[Chart]:
    """Quantities against iterations, and against seconds where they were taken."""
    view = results.view
    for name in view.get("panels", [view["y"]]):
        label = name if "panels" in view else view["quantity"]
        yield _iterating(results, name, label, "iterations k + 1")
        if "seconds" in view:
            yield _iterating(results, name, label, "seconds")


def _iterating(results: Results, name: str, label: str, x: str) -> Chart:
    data, columns, at = list[dict[str, Any]](), dict[str, Sequence[float]](), list[float]()
    for arm in methods(results):
        k, table = curve(results, arm, name)
        seconds = curve(results, arm, results.view["seconds"])[1].mean(0) if x == "seconds" else k
        at = (seconds if x == "seconds" else k + 1).tolist()
        each = [(at, row.tolist()) for row in table]
        found = Series(at, table.mean(0).tolist(), each)
        method = str(arm["method"])
        data += traces(lines(results).index(method), method, found)
        columns[method] = found.mean
    log: Any = {"type": "log", "exponentformat": "power", "nticks": _TICKS}
    title = f"{capital(label)} against {'seconds' if x == 'seconds' else 'iterations'}"
    told = f"{title}, logarithmic axes, {len(columns)} lines: {', '.join(columns)}"
    shown = figure(data, x, label, xaxis=log, yaxis=log)
    return Chart(title, told, shown, None if x == "seconds" else numbers(x, at, columns))
