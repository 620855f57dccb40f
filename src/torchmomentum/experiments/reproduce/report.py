"""What was reproduced, as a Markdown table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.plots import new_axes, new_grid, save


def _rate(values: dict[str, Any]) -> list[str]:
    if "slope" not in values:
        return []
    return [f"{values['slope']:.2f}", f"{values['factor']:.6f}", values["theorem"] or "-"]


def table(results: dict[str, Any]) -> list[str]:
    """The quantity at some iterations, with the least and greatest of the seeds; what else is."""
    methods = results["methods"]
    first = next(iter(methods.values()))
    head = ["method", *(f"k = {k:,}" for k in results["shown"])]
    head += ["slope", "factor", "theorem"] if "slope" in first else []
    head += list(first.get("extras", ()))
    rows = []
    for name, values in methods.items():
        shown = values["shown"]
        several = len(results["seeds"]) > 1
        cells = [
            f"{mean:.3g}" + (f" ({low:.2g}-{high:.2g})" if several else "")
            for mean, low, high in zip(shown["mean"], shown["low"], shown["high"], strict=True)
        ]
        cells += _rate(values)
        for each in values.get("extras", {}).values():
            cells.append(f"{sum(each) / len(each):.4g}")
        rows.append([name, *cells])
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def markdown(results: dict[str, Any]) -> str:
    """The table with where it comes from."""
    o = results["provenance"]
    seeds = len(results["seeds"])
    origin = (
        f"{results['title']}: {results['quantity']}; `{o['command']}`; {seeds} seed(s), mean"
        f"{' (least-greatest)' if seeds > 1 else ''}; {o['cpu']}, {o['date'][:10]}."
    )
    return "\n".join([origin, "", *table(results)]) + "\n"


def _draw(axes: Any, x: list[float], drawn: dict[str, list[float]], number: int, name: str) -> None:
    axes.plot(x, drawn["mean"], color=f"C{number}", label=name, linewidth=1.5)
    if drawn["low"] != drawn["high"]:  # several seeds
        axes.fill_between(x, drawn["low"], drawn["high"], color=f"C{number}", alpha=0.2)


def _panels(results: dict[str, Any]) -> Any:
    """Every quantity against iterations and against seconds."""
    methods = results["methods"]
    quantities = list(next(iter(methods.values()))["panels"])
    figure, grid = new_grid(9, 3 * len(quantities), len(quantities), 2)
    for row, quantity in zip(grid, quantities, strict=True):
        for number, (name, values) in enumerate(methods.items()):
            drawn = values["panels"][quantity]
            _draw(row[0], [at + 1 for at in results["at"]], drawn, number, name)
            _draw(row[1], values["seconds"], drawn, number, name)
        row[0].set_xlabel("iteration k + 1")
        row[1].set_xlabel("seconds of sampling")
        for axes in row:
            axes.set_ylabel(quantity)
    figure.suptitle(results["title"])
    return figure, grid.ravel()


def plot(results: dict[str, Any], folder: Path) -> None:
    """Draws the curves on logarithmic axes, the seeds as a band."""
    if "panels" in next(iter(results["methods"].values())):
        figure, every = _panels(results)
    else:
        figure, axes = new_axes(7, 4.4)
        every = [axes]
        for number, (name, values) in enumerate(results["methods"].items()):
            _draw(axes, [at + 1 for at in results["at"]], values["curve"], number, name)
        axes.set_xlabel("iteration k + 1")
        axes.set_ylabel(results["quantity"])
        axes.set_title(results["title"])
    for axes in every:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, folder / "curves")
