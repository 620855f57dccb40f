"""The slides' quadratic: the exact oracle, the noisy ones, and how often to restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from torchmomentum.experiments.reproduce.methods import (
    EXACT_SCHEDULE,
    Method,
    fitted_factor,
    fitted_slope,
    run_methods,
    slides_methods,
)
from torchmomentum.experiments.reproduce.parts import Parts
from torchmomentum.experiments.reproduce.problems import (
    Array,
    Laplacian,
    Noise,
    constant,
    decaying,
    exact,
)
from torchmomentum.optim._restart import Policy

ITERATIONS = 50_000
SHOWN = (1, 10, 100, 1_000, 10_000, 49_999)  # iterations of the table
_POINTS = 300  # of a curve, evenly spaced on a logarithmic axis
# the released code's for decaying noise: F = 200 while k < 10000, then 400
NOISY_SCHEDULE: Policy = [(9_999, 200), (50_000, 400)]
FREQUENCIES = (1, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
# what the slides say of the gap after k exact steps
THEOREMS = {
    "GD": "1/k",
    "GD + momentum": "1/k",
    "heavy ball": "1/k",
    "NAG": "1/k^2",
    "ARNAG": "geometric",
    "SRNAG": "geometric",
}


class Figure(NamedTuple):
    """One of the slides' figures.

    Attributes:
        title: What it shows.
        noise: What is added to the gradients.
        seeds: How many runs.
        methods: What is compared, by name.
    """

    title: str
    noise: Noise
    seeds: int
    methods: Callable[[], dict[str, Method]]


def _frequencies() -> dict[str, Method]:
    found = {f"F = {every}": Method(restart=every) for every in FREQUENCIES}
    return {**found, "never": Method()}


FIGURES = {
    "slides-quadratic": Figure(
        "path Laplacian, exact gradients", exact, 1, lambda: slides_methods(EXACT_SCHEDULE)
    ),
    "slides-noise-decaying": Figure(
        "path Laplacian, noise of 0.1 / (floor(k / 100) + 1)",
        decaying,
        5,
        lambda: slides_methods(NOISY_SCHEDULE),
    ),
    "slides-noise-constant": Figure(
        "path Laplacian, noise of 0.001", constant, 5, lambda: slides_methods(NOISY_SCHEDULE)
    ),
    "slides-restart-frequency": Figure(
        "path Laplacian, noise of 0.001, Nesterov's momentum restarted every F steps",
        constant,
        5,
        _frequencies,
    ),
}


def recorded(iterations: int, points: int, shown: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which iterations a figure records: those of its curves and table, and the table's alone.

    Args:
        iterations: How many there are.
        points: Of a curve, evenly spaced on a logarithmic axis.
        shown: Those that the table would have.
    """
    kept = [k for k in shown if k < iterations]
    spaced = np.unique(np.geomspace(1, iterations, points).astype(int)) - 1
    return sorted({*spaced.tolist(), *kept}), kept


def curve(gaps: Array, at: Sequence[int]) -> dict[str, list[float]]:
    """The mean of the seeds and their least and greatest, at some iterations."""
    seen = gaps[:, list(at)]
    return {
        "mean": seen.mean(0).tolist(),
        "low": seen.min(0).tolist(),
        "high": seen.max(0).tolist(),
    }


def run_figure(
    name: str,
    *,
    iterations: int = ITERATIONS,
    seeds: int | None = None,
    cycle: bool = False,
    parts: Parts | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Computes a figure: curves, the table's values, fitted rates beside the theorems'."""
    parts = Parts() if parts is None else parts
    figure = FIGURES[name]
    problem = Laplacian(cycle=cycle)
    numbers = list(range(figure.seeds if seeds is None else seeds))
    methods = figure.methods()
    at, shown = recorded(iterations, _POINTS, SHOWN)
    runs = []
    for seed in numbers:

        def run(seed: int = seed) -> dict[str, Any]:
            found = run_methods(
                problem, methods, figure.noise, iterations=iterations, seed=seed, at=at
            )
            return {key: {**each, "gaps": each["gaps"].tolist()} for key, each in found.items()}

        runs.append(parts.get(f"seed {seed}", run))
        tell(f"seed {seed}")
    # rates are those of the middle: there a method is itself
    middle = [i for i, k in enumerate(at) if max(1, iterations // 100) <= k <= iterations // 10]
    k = np.array(at, dtype=float)[middle]
    results: dict[str, Any] = {}
    for key in methods:
        gaps: Array = np.array([each[key]["gaps"] for each in runs])
        mean = gaps.mean(0)[middle]
        results[key] = {
            "curve": curve(gaps, range(len(at))),
            "shown": curve(gaps, [at.index(i) for i in shown]),
            "slope": fitted_slope(k, mean),
            "factor": fitted_factor(k, mean),
            "theorem": THEOREMS.get(key) if figure.noise is exact else None,
            "restarts": [each[key]["restarts"] for each in runs],
        }
    return {
        "name": name,
        "title": figure.title + (", cycle" if cycle else ""),
        "seeds": numbers,
        "iterations": iterations,
        "start": float(problem.gap(problem.start)),
        "at": at,
        "shown": shown,
        "quantity": "f(w_k) - f*",
        "methods": results,
    }
