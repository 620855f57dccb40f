"""The tables of the benchmarks: what a run measured side by side, a row for each size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results


def _ratio(value: dict[str, Any]) -> str:
    low, high = value["ratio_quartiles"]
    return f"{value['ratio']:.2f} ({low:.2f}-{high:.2f})"


def _made(results: Results, head: list[str], rows: list[list[str]], what: str = "") -> Table:
    recipe = results.runs[0].recipe
    threads = recipe.get("threads") or results.runs[0].provenance.get("threads")
    threads = "1 thread" if threads == 1 else f"{threads} threads"
    where = "on the GPU" if recipe["device"] == "cuda" else threads
    return Table(head, rows, f"{results.title}, {where}.{what}")


_RATIOS = " Ratios are medians over interleaved rounds, their quartiles in brackets."


def _beside(
    results: Results,
    baseline: Callable[[dict[str, Any]], str],
    cell: Callable[[dict[str, Any]], str],
) -> tuple[list[str], list[list[str]]]:
    """What is measured beside a baseline, and the rows: size, baseline, ratios."""
    names, rows = list(results.runs[0].values), []
    for run in results.runs:
        first, *others = (run.values[name] for name in names)
        rows.append([run.arm["item"], baseline(first), *map(cell, others)])
    return names[1:], rows


def fraction(cost: dict[str, int], most: dict[str, float], milliseconds: float) -> float:
    """Which part of the ceiling a time means: of that of arithmetic or memory, the lower one."""
    arithmetic = cost["operations"] / most["operations_per_s"]
    return 1e3 * max(arithmetic, cost["bytes"] / most["bytes_per_s"]) / milliseconds


def layers(results: Results) -> Table:
    """A layer's training step beside ``nn.LSTM`` or ``nn.GRU``."""
    names, rows = _beside(results, lambda lstm: f"{lstm['median_ms']:.1f}", _ratio)
    seen = [run.costs["ceilings"] for run in results.runs]
    most = {key: max(ceiling[key] for ceiling in seen) for key in seen[0]}
    for cells, run in zip(rows, results.runs, strict=True):
        baseline = run.values["nn.LSTM"]["median_ms"]  # ours by its ratio, which is of pairs
        times = (baseline * run.values[name]["ratio"] for name in ("nn.LSTM", "LSTM"))
        cells += [f"{fraction(run.costs['cost'], most, time):.0%}" for time in times]
    head = [results.view["item"], "nn.LSTM, ms", *names, "ceiling: nn.LSTM", "ceiling: LSTM"]
    return _made(results, head, rows, _RATIOS)


def profile(results: Results) -> Table:
    """Where the time of a layer goes."""
    layers = results.runs[0].values
    parts = [key for key in next(iter(layers.values())) if key != "step_ms"]
    rows = []
    for run in results.runs:
        for name, found in run.values.items():
            shares = (f"{found[part] / found['step_ms']:.0%}" for part in parts)
            rows.append([run.arm["item"], name, f"{found['step_ms']:.1f}", *shares])
    heads = (part.removesuffix("_ms") for part in parts)
    head = [results.view["item"], "layer", "step, ms", *heads]
    return _made(results, head, rows, " Behind a step's milliseconds the shares of its parts.")


def memory(results: Results) -> Table:
    """What a layer keeps beside ``nn.LSTM``."""
    names, rows = _beside(
        results,
        lambda lstm: f"{lstm['peak_bytes'] / 2**20:.1f}",
        lambda value: f"{value['ratio']:.2f}",
    )
    head = [results.view["item"], "nn.LSTM, MiB", *names]
    return _made(results, head, rows, " Behind the first, ratios to it.")


def streaming(results: Results) -> Table:
    """One step of a stream beside ``nn.LSTMCell``."""
    names, rows = _beside(results, lambda cell: f"{1e3 * cell['median_ms']:.0f}", _ratio)
    return _made(results, [results.view["item"], "nn.LSTMCell, us", *names], rows, _RATIOS)


def optimizers(results: Results) -> Table:
    """A step of SRSGD beside SGD's."""
    kinds = ("loop", "foreach", "fused")
    head = [word for k in kinds for word in (f"SGD {k}, ms", f"SRSGD {k}, ms", f"ratio, {k}")]
    rows = []
    for run in results.runs:
        found, cells = run.values, list[str]()
        for kind in kinds:
            ours, theirs = found[f"SRSGD {kind}"], found[f"SGD {kind}"]
            cells += [f"{theirs['median_ms']:.2f}", f"{ours['median_ms']:.2f}"]
            cells.append(f"{ours['ratio_to_same_kind']:.2f}")
        published, fused = found["published loop"], found["SRSGD fused"]
        cells += [f"{published['median_ms']:.2f}", f"{fused['speed_up']:.1f}"]
        rows.append([run.arm["item"], *cells])
    head += ["published loop, ms", "fused: speed-up"]
    return _made(results, [results.view["item"], *head], rows)


def papers(results: Results) -> Table:
    """Seconds beside those that the paper publishes."""
    (run,) = results.runs
    head, rows = list(run.values["nn.LSTM"]["published"]), []
    for name, found in run.values.items():
        cells = [f"{found[k]['ratio']:.2f} ({found['published'][k]:.2f})" for k in head]
        rows.append([name, *cells])
    told = " Ratios to nn.LSTM; in brackets the paper's."
    return _made(results, ["", *(f"{k} (paper)" for k in head)], rows, told)


def backends(results: Results) -> Table:
    """Ours beside PyTorch's; a star where a layer goes to the slower one."""
    names = list(dict.fromkeys(name for run in results.runs for name in run.values))
    rows = []
    for run in results.runs:
        cells = [_chosen(run.values[name]) if name in run.values else "-" for name in names]
        rows.append([run.arm["item"], *cells])
    capability = ", ".join(dict.fromkeys(run.costs["capability"] for run in results.runs))
    told = f"{_RATIOS} A star stands where a layer goes to the slower one. PyTorch's: {capability}."
    return _made(results, [results.view["item"], *names], rows, told)


def _chosen(value: dict[str, Any]) -> str:
    to_the_slower = (value["chosen"] == "aten") == (value["ratio"] < 1)
    return _ratio(value) + ("*" if to_the_slower else "")


def each(results: Results) -> Table:
    """Milliseconds and ratios; a row for each thing, as not all run everywhere."""
    rows = []
    for run in results.runs:
        for name, value in run.values.items():
            cells = [f"{value['median_ms']:.3f}", _ratio(value)]
            rows.append([run.arm["item"], name, *cells])
        rows += _failed(run)
    return _made(results, [results.view["item"], "", "ms", "ratio"], rows, _RATIOS)


def _failed(run: Result) -> list[list[str]]:
    failed = run.costs.get("failed", {})
    return [[run.arm["item"], name, "-", told.split("\n")[0]] for name, told in failed.items()]


def correctness(results: Results) -> Table:
    """Whether the kernels agree with their definition."""
    rows = [
        [run.arm["item"], name, f"{value['error']:.1e}", "yes" if value["right"] else "NO"]
        for run in results.runs
        for name, value in run.values.items()
    ]
    head = [results.view["item"], "type", "relative error", "within tolerance"]
    return _made(results, head, rows)
