"""Case III of the slides: softmax regression with mini-batches, on the library's own optimizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from torchmomentum.experiments.reproduce.data import Data
from torchmomentum.experiments.reproduce.parts import Parts
from torchmomentum.experiments.reproduce.problems import Array, Logistic
from torchmomentum.experiments.reproduce.slides import curve, recorded
from torchmomentum.optim import NAG, SRSGD

ITERATIONS, BATCH, SEEDS = 10_000, 128, 3
_POINTS = 80
_SHOWN = (1, 10, 100, 1_000, 9_999)
# constant momentum is torch's own: the lookahead form is its nesterov=True
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "GD": torch.optim.SGD,
    "GD + momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "heavy ball": partial(torch.optim.SGD, momentum=0.9),
    "NAG": NAG,
    "ARNAG": partial(NAG, restart="function"),
    "SRNAG": partial(SRSGD, restart_every=20),
}


def minimum(problem: Logistic) -> float:
    """The least value, by L-BFGS."""
    found = minimize(
        problem.value,
        problem.start,
        jac=problem.gradient,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9},
    )
    return float(found.fun)


def _follow(
    problem: Logistic,
    make: Callable[..., torch.optim.Optimizer],
    seed: int,
    iterations: int,
    at: set[int],
) -> tuple[list[float], Array]:
    generator = np.random.default_rng(seed)
    w = torch.nn.Parameter(torch.from_numpy(problem.start))
    optimizer: Any = make([w], lr=1.0 / problem.smoothness)
    needs_loss = optimizer.param_groups[0].get("restart_every") == "function"
    place, values = w.detach().numpy(), list[float]()
    for k in range(iterations):
        if k in at:
            values.append(problem.value(place))
        rows = generator.integers(0, len(problem.x), BATCH)
        w.grad = torch.from_numpy(problem.gradient(place, rows))
        optimizer.step(problem.value(place, rows) if needs_loss else None)
    return values, place.copy()


def run_logistic(
    data: Data,
    *,
    iterations: int = ITERATIONS,
    seeds: int = SEEDS,
    parts: Parts | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Computes the figure: the gap of the whole training set's loss, and the test accuracy."""
    train, labels, test, test_labels = data
    problem = Logistic(train, labels)
    parts = Parts() if parts is None else parts
    best = parts.get("minimum", lambda: minimum(problem))
    at, shown = recorded(iterations, _POINTS, _SHOWN)
    methods: dict[str, Any] = {}
    for name, make in OPTIMIZERS.items():
        gaps, accuracies = [], []
        for seed in range(seeds):

            def run(
                make: Callable[..., torch.optim.Optimizer] = make, seed: int = seed
            ) -> tuple[list[float], float]:
                values, w = _follow(problem, make, seed, iterations, set(at))
                return values, problem.accuracy(w, test, test_labels)

            values, accuracy = parts.get(f"{name}, seed {seed}", run)
            gaps.append([value - best for value in values])
            accuracies.append(accuracy)
            tell(f"{name}, seed {seed}")
        table = np.array(gaps)
        methods[name] = {
            "curve": curve(table, range(len(at))),
            "shown": curve(table, [at.index(k) for k in shown]),
            "extras": {"test accuracy": accuracies},
        }
    return {
        "name": "slides-logistic",
        "title": f"softmax regression, {len(train):,} images, batches of {BATCH}",
        "seeds": list(range(seeds)),
        "iterations": iterations,
        "start": problem.value(problem.start) - best,
        "at": at,
        "shown": shown,
        "quantity": "f(w_k) - f*, all training images",
        "methods": methods,
    }
