"""What was measured, as Markdown tables and plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchmomentum.experiments.bench.roofline import fraction
from torchmomentum.experiments.plots import new_axes, save

Table = list[str]  # the head, the line below it, the rows


def _ratio(value: dict[str, Any]) -> str:
    low, high = value["ratio_quartiles"]
    return f"{value['ratio']:.2f} ({low:.2f}-{high:.2f})"


def _table(head: list[str], rows: list[list[str]]) -> Table:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def _beside(
    results: dict[str, Any],
    size: str,
    baseline: Callable[[dict[str, Any]], str],
    cell: Callable[[dict[str, Any]], str],
) -> tuple[list[str], list[list[str]]]:
    """The names of what is measured beside a baseline, and the rows: size, baseline, ratios."""
    names = list(results["rows"][0]["layers"])
    rows = []
    for row in results["rows"]:
        first, *others = (row["layers"][name] for name in names)
        rows.append([", ".join(map(str, row[size])), baseline(first), *map(cell, others)])
    return names[1:], rows


def _layers(results: dict[str, Any]) -> Table:
    """Ratios to ``nn.LSTM``: the median over interleaved rounds, its quartiles behind it."""
    names, rows = _beside(results, "shape", lambda lstm: f"{lstm['median_ms']:.1f}", _ratio)
    seen = [row["ceilings"] for row in results["rows"]]
    most = {key: max(ceiling[key] for ceiling in seen) for key in seen[0]}
    for cells, row in zip(rows, results["rows"], strict=True):
        baseline = row["layers"]["nn.LSTM"]["median_ms"]  # ours by its ratio, which is of pairs
        times = (baseline * row["layers"][name]["ratio"] for name in ("nn.LSTM", "LSTM"))
        cells += [f"{fraction(row['cost'], most, time):.0%}" for time in times]
    head = ["T, B, I, H", "nn.LSTM, ms", *names, "ceiling: nn.LSTM", "ceiling: LSTM"]
    return _table(head, rows)


def _profile(results: dict[str, Any]) -> Table:
    """A step's milliseconds, and behind them the shares of its parts."""
    layers = results["rows"][0]["layers"]
    parts = [key for key in next(iter(layers.values())) if key != "step_ms"]
    rows = []
    for row in results["rows"]:
        for name, found in row["layers"].items():
            shares = (f"{found[part] / found['step_ms']:.0%}" for part in parts)
            shape = ", ".join(map(str, row["shape"]))
            rows.append([shape, name, f"{found['step_ms']:.1f}", *shares])
    heads = (part.removesuffix("_ms") for part in parts)
    return _table(["T, B, I, H", "layer", "step, ms", *heads], rows)


def _memory(results: dict[str, Any]) -> Table:
    """Megabytes of ``nn.LSTM``, and the others' ratio to them."""
    names, rows = _beside(
        results,
        "shape",
        lambda lstm: f"{lstm['peak_bytes'] / 2**20:.1f}",
        lambda value: f"{value['ratio']:.2f}",
    )
    return _table(["T, B, I, H", "nn.LSTM, MiB", *names], rows)


def _streaming(results: dict[str, Any]) -> Table:
    """Microseconds of ``nn.LSTMCell``, and the others' ratio to them."""
    names, rows = _beside(results, "size", lambda cell: f"{1e3 * cell['median_ms']:.0f}", _ratio)
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
        published, fused = found["published loop"], found["SRSGD fused"]
        cells += [f"{published['median_ms']:.2f}", f"{fused['speed_up']:.1f}"]
        rows.append([row["tensors"], *cells])
    head += ["published loop, ms", "fused is so many times faster"]
    return _table(["tensors", *head], rows)


def _papers(results: dict[str, Any]) -> Table:
    """Ratios to ``nn.LSTM``, and behind each the paper's."""
    (row,) = results["rows"]
    head, rows = list(row["layers"]["nn.LSTM"]["published"]), []
    for name, found in row["layers"].items():
        cells = [f"{found[k]['ratio']:.2f} ({found['published'][k]:.2f})" for k in head]
        rows.append([name, *cells])
    return _table(["", *(f"{k} (paper)" for k in head)], rows)


def _accuracy(results: dict[str, Any]) -> Table:
    """How many seeds reached the target, and after how long."""
    (row,) = results["rows"]
    rows = []
    for name, found in row["layers"].items():
        times = (
            [f"{found['epochs']:g}", f"{found['seconds']:.1f}"] if found["seconds"] else ["-"] * 2
        )
        ratio = "-" if found["ratio"] is None else f"{found['ratio']:.2f}"
        rows.append([name, f"{found['reached']} of {len(found['seeds'])}", *times, ratio])
    return _table(["model", "seeds there", "epochs, median", "seconds, median", "ratio"], rows)


TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "layers": _layers,
    "layers-bfloat16": _layers,
    "profile": _profile,
    "memory": _memory,
    "streaming": _streaming,
    "optim": _optimizers,
    "papers": _papers,
    "time-to-accuracy": _accuracy,
}


def markdown(results: dict[str, Any]) -> str:
    """The table of one kind of benchmark, with where it comes from."""
    o = results["provenance"]
    where = o["gpu"] if results["device"] == "cuda" else f"{o['cpu']}, {o['threads']} threads"
    origin = f"{results['what']}; `{o['command']}`; {where}, torch {o['torch']}, {o['date'][:10]}."
    return "\n".join([origin, "", *TABLES[results["kind"]](results)]) + "\n"


# what a bar shows where it is not simply the ratio
_PLOTTED: dict[str, Callable[[dict[str, Any]], float]] = {
    "papers": lambda value: float(value["training time"]["ratio"]),
}


def plot(results: dict[str, Any], folder: Path) -> None:
    """Draws the ratios as PNG and SVG, where there are any and matplotlib is installed."""
    if results["kind"] == "profile":
        return
    ratio = _PLOTTED.get(results["kind"], lambda value: value["ratio"])
    try:
        figure, axes = new_axes(8, 4)
    except ImportError:
        return
    key = "optimizers" if results["kind"] == "optim" else "layers"
    rows = results["rows"]
    names = list(rows[0][key])
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        at = [i + number * width for i in range(len(rows))]
        axes.bar(at, [ratio(row[key][name]) or 0.0 for row in rows], width, label=name)
    axes.axhline(1.0, color="black", linewidth=0.8)
    known = ("shape", "size", "tensors", "task")
    labels = [str(next(row[k] for k in known if k in row)) for row in rows]
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(rows))], labels, fontsize=8)
    axes.set_ylabel(f"ratio to {names[0]}")
    axes.set_title(results["what"])
    axes.legend(fontsize=8)
    save(figure, folder / results["kind"], dpi=120)
