"""What was measured, as Markdown tables and plots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torchmomentum.experiments.bench.roofline import fraction
from torchmomentum.experiments.files import write_with

Table = list[str]  # the head, the line below it, the rows


def _ratio(value: dict[str, Any]) -> str:
    low, high = value["ratio_quartiles"]
    return f"{value['ratio']:.2f} ({low:.2f}-{high:.2f})"


def _table(head: list[str], rows: list[list[str]]) -> Table:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def _layers(results: dict[str, Any]) -> Table:
    """Ratios to ``nn.LSTM``: the median over interleaved rounds, its quartiles behind it."""
    names = list(results["rows"][0]["layers"])[1:]
    head = ["T, B, I, H", "nn.LSTM, ms", *names, "ceiling: nn.LSTM", "ceiling: LSTM"]
    seen = [row["ceilings"] for row in results["rows"]]
    most = {key: max(ceiling[key] for ceiling in seen) for key in seen[0]}
    rows = []
    for row in results["rows"]:
        found = row["layers"]
        times = (found[name]["median_ms"] for name in ("nn.LSTM", "LSTM"))
        reached = (f"{fraction(row['cost'], most, time):.0%}" for time in times)
        shape, milliseconds = ", ".join(map(str, row["shape"])), found["nn.LSTM"]["median_ms"]
        ratios = (_ratio(found[name]) for name in names)
        rows.append([shape, f"{milliseconds:.1f}", *ratios, *reached])
    return _table(head, rows)


def _memory(results: dict[str, Any]) -> Table:
    """Megabytes of ``nn.LSTM``, and the others' ratio to them."""
    names = list(results["rows"][0]["layers"])[1:]
    rows = []
    for row in results["rows"]:
        found = row["layers"]
        megabytes = found["nn.LSTM"]["peak_bytes"] / 2**20
        ratios = (f"{found[name]['ratio']:.2f}" for name in names)
        rows.append([", ".join(map(str, row["shape"])), f"{megabytes:.1f}", *ratios])
    return _table(["T, B, I, H", "nn.LSTM, MiB", *names], rows)


def _streaming(results: dict[str, Any]) -> Table:
    """Microseconds of ``nn.LSTMCell``, and the others' ratio to them."""
    names = list(results["rows"][0]["layers"])[1:]
    rows = []
    for row in results["rows"]:
        found = row["layers"]
        microseconds = 1e3 * found["nn.LSTMCell"]["median_ms"]
        ratios = (_ratio(found[name]) for name in names)
        rows.append([", ".join(map(str, row["size"])), f"{microseconds:.0f}", *ratios])
    return _table(["I, H", "nn.LSTMCell, us", *names], rows)


def _optimizers(results: dict[str, Any]) -> Table:
    """Milliseconds of a step, and SRSGD's ratio to SGD of the same kind."""
    kinds = ("loop", "foreach", "fused")
    head = [word for k in kinds for word in (f"SGD {k}, ms", f"SRSGD {k}, ms", f"ratio, {k}")]
    rows = []
    for row in results["rows"]:
        found, cells = row["optimizers"], []
        for kind in kinds:
            ours, theirs = found[f"SRSGD {kind}"], found[f"SGD {kind}"]
            cells += [f"{theirs['median_ms']:.2f}", f"{ours['median_ms']:.2f}"]
            cells.append(f"{ours['ratio_to_same_kind']:.2f}")
        rows.append([row["tensors"], *cells])
    return _table(["tensors", *head], rows)


TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "layers": _layers,
    "memory": _memory,
    "streaming": _streaming,
    "optim": _optimizers,
}


def markdown(results: dict[str, Any]) -> str:
    """The table of one kind of benchmark, with where it comes from."""
    o = results["provenance"]
    where = o["gpu"] if results["device"] == "cuda" else f"{o['cpu']}, {o['threads']} threads"
    origin = f"{results['what']}; `{o['command']}`; {where}, torch {o['torch']}, {o['date'][:10]}."
    return "\n".join([origin, "", *TABLES[results["kind"]](results)]) + "\n"


def plot(results: dict[str, Any], place: Callable[[str], Path]) -> None:
    """Draws the ratios as PNG and SVG, where matplotlib is installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    key = "optimizers" if results["kind"] == "optim" else "layers"
    rows = results["rows"]
    names = list(rows[0][key])
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        at = [i + number * width for i in range(len(rows))]
        axes.bar(at, [row[key][name]["ratio"] for row in rows], width, label=name)
    axes.axhline(1.0, color="black", linewidth=0.8)
    labels = [str(row.get("shape") or row.get("size") or row.get("tensors")) for row in rows]
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(rows))], labels, fontsize=8)
    axes.set_ylabel(f"ratio to {names[0]}")
    axes.set_title(results["what"])
    axes.legend(fontsize=8)
    for ending in ("png", "svg"):
        name = f"{results['kind']}.{ending}"
        write_with(place(name), partial(figure.savefig, format=ending, dpi=120))
