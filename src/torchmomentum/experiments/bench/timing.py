"""Times things side by side in one process, in turn: a drifting machine slows all alike.

Each round has an order of its own, since what one leaves behind (memory, caches) meets the next.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from torchmomentum.experiments.engine.place import Tell, silent


def _waiting(function: Callable[[], object], device: str) -> Callable[[], object]:
    """The function until the device has done what it asked for."""
    if device != "cuda":
        return function

    def run() -> None:
        function()
        torch.cuda.synchronize()

    return run


def interleave(
    steps: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 20.0,
    least: int = 7,
    device: str = "cpu",
    tell: Tell = silent,
) -> dict[str, dict[str, Any]]:
    """Runs all functions round after round; the first is the baseline.

    Args:
        steps: What to time, by name.
        seconds: For how long, about.
        least: The fewest rounds.
        device: Where they compute, ``cpu`` or ``cuda``.
        tell: Told how far it is.

    Returns:
        For each its median in milliseconds, and the median and quartiles over the rounds of its
        ratio to the baseline.
    """
    functions = {name: _waiting(function, device) for name, function in steps.items()}
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
        part = min(rounds / least, (time.perf_counter() - began) / max(seconds, 1e-9), 1.0)
        tell(", ".join(list(functions)[:2]) + "...", int(100 * part), 100)
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
