"""A quantity along the iterations of optimization or sampling, by method."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.fits import Array, fitted_factor, fitted_slope
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results, values


def methods(results: Results) -> list[dict[str, Any]]:
    """The arms that are shown: all but the one whose value is taken off."""
    return [arm for arm in results.arms() if arm["method"] != results.view.get("less")]


def curve(results: Results, arm: dict[str, Any], y: str | None = None) -> tuple[Array, Array]:
    """The iterations ``(K,)`` and a quantity of all seeds ``(seeds, K)``."""
    view, runs = results.view, results.of(arm)
    y = view["y"] if y is None else y
    found = np.array([run.curves[y] for run in runs])
    if "less" in view:
        found = found - results.of({**arm, "method": view["less"]})[0].values[y]
    return np.array(runs[0].curves[view["x"]]), found


def iterations_of(results: Results) -> int:
    """How many iterations there were."""
    found: int = results.of(methods(results)[0])[0].recipe["iterations"]
    return found


def window(iterations: int) -> tuple[int, int]:
    """Where rates are fitted: in the middle, where a method is itself."""
    return max(1, iterations // 100), iterations // 10


def rates(results: Results, arm: dict[str, Any]) -> tuple[float, float]:
    """The fitted slope and the fitted factor of the mean over seeds."""
    k, table = curve(results, arm)
    low, high = window(iterations_of(results))
    middle = (low <= k) & (k <= high)
    mean = table.mean(0)[middle]
    return fitted_slope(k[middle].astype(float), mean), fitted_factor(k[middle].astype(float), mean)


def _row(results: Results, arm: dict[str, Any], shown: list[int]) -> list[str]:
    view, runs = results.view, results.of(arm)
    k, table = curve(results, arm)
    cells = [arm["method"]]
    for at in shown:
        column = table[:, k.tolist().index(at)]
        spread = f" ({column.min():.2g}-{column.max():.2g})" if len(runs) > 1 else ""
        cells.append(f"{column.mean():.3g}{spread}")
    if view.get("fitted"):
        slope, factor = rates(results, arm)
        cells += [f"{slope:.2f}", f"{factor:.6f}", view["theorem"].get(arm["method"], "-")]
    for name in view.get("extras", ()):
        each = values(runs, name)
        cells.append(f"{sum(each) / len(each):.4g}")
    mixing = view.get("mixing", {}).get(arm["method"], {})
    return cells + [f"{value:.4g}" for value in mixing.values()]


def iterations(results: Results) -> Table:
    """The quantity at some iterations, with the least and greatest of the seeds; fitted rates."""
    view, count = results.view, iterations_of(results)
    shown = [k for k in view["shown"] if k < count]
    arms = methods(results)
    head = ["method", *(f"k = {k:,}" for k in shown)]
    ranges = " (least-greatest)" if len(results.seeds) > 1 else ""
    data = results.runs[0].recipe.get("data")
    caption = (
        f"{results.title}{f' on {data}' if data else ''}: {view['quantity']}; "
        f"{words.seed_count(results)}, mean{ranges}."
    )
    if view.get("fitted"):
        head += ["slope", "factor", "theorem"]
        low, high = window(count)
        caption += f" Slope and factor are fitted for k from {low:,} to {high:,}."
    head += list(view.get("extras", ()))
    head += list(next(iter(view.get("mixing", {}).values()), {}))
    return Table(head, [_row(results, arm, shown) for arm in arms], caption)
