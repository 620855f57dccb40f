"""What was reproduced, as a Markdown table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchmomentum.experiments.plots import new_axes, save


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


def plot(results: dict[str, Any], folder: Path) -> None:
    """Draws the curves on logarithmic axes, the seeds as a band."""
    figure, axes = new_axes(7, 4.4)
    k = [at + 1 for at in results["at"]]
    for number, (name, values) in enumerate(results["methods"].items()):
        drawn = values["curve"]
        axes.plot(k, drawn["mean"], color=f"C{number}", label=name, linewidth=1.5)
        if len(results["seeds"]) > 1:
            axes.fill_between(k, drawn["low"], drawn["high"], color=f"C{number}", alpha=0.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("iteration k + 1")
    axes.set_ylabel(results["quantity"])
    axes.set_title(results["title"])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, folder / "curves")
