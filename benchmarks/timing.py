"""Times things side by side in one process, in turn: a drifting machine slows all alike.

Each round has an order of its own, since what one leaves behind (memory, caches) meets the next.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from torchmomentum.experiments.files import write_json
from torchmomentum.experiments.provenance import provenance


def arguments(description: str | None, seconds: float, out: str) -> argparse.Namespace:
    """The options that every benchmark has; sets the threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=seconds, help="for each comparison")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks") / out)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def record(path: Path, what: str, rows: list[dict[str, Any]]) -> None:
    """Writes what was measured, with the command, versions and hardware."""
    origin = provenance(["python", *sys.argv])
    write_json(path, {"what": what, "rows": rows, "provenance": origin})


def interleave(
    functions: dict[str, Callable[[], object]], *, seconds: float = 20.0, least: int = 7
) -> dict[str, dict[str, Any]]:
    """Runs all functions round after round; the first is the baseline.

    Args:
        functions: What to time, by name.
        seconds: For how long, about.
        least: The fewest rounds.

    Returns:
        For each its median in milliseconds, and the median and quartiles over the rounds of its
        ratio to the baseline.
    """
    for function in functions.values():  # first calls build caches
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    order = random.Random(0)
    began, rounds = time.perf_counter(), 0
    while rounds < least or time.perf_counter() - began < seconds:
        for name, function in order.sample(list(functions.items()), len(functions)):
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
        rounds += 1
    baseline = next(iter(times.values()))
    found: dict[str, dict[str, Any]] = {}
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, baseline, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[name] = {
            "median_ms": 1e3 * statistics.median(values),
            "ratio": middle,
            "ratio_quartiles": [low, high],
            "rounds": rounds,
        }
    return found
