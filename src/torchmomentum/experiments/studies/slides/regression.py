"""Case III of the slides: softmax regression by mini-batches, on the library's own optimizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.slides.images import load
from torchmomentum.experiments.studies.slides.problems import Logistic
from torchmomentum.experiments.studies.slides.recipes import Regression
from torchmomentum.optim import NAG, SRSGD

BATCH = 128
MINIMUM = "minimum"
_TOLD_EVERY = 100  # iterations
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


def follow(recipe: Regression, place: Place, tell: Tell) -> Result:
    """Computes the loss of all training images along the way, and the test accuracy.

    Of the method ``minimum`` the least loss alone.
    """
    train, labels, test, test_labels = load(recipe.data, place.data, offline=place.offline)
    problem = Logistic(train, labels)
    if recipe.method == MINIMUM:
        return Result(recipe={}, values={"loss": minimum(problem)})
    generator = np.random.default_rng(recipe.seed)
    w = torch.nn.Parameter(torch.from_numpy(problem.start))
    optimizer: Any = OPTIMIZERS[recipe.method]([w], lr=1.0 / problem.smoothness)
    needs_loss = optimizer.param_groups[0].get("restart") == "function"
    point, losses, at = w.detach().numpy(), list[float](), set(recipe.at)
    for k in range(recipe.iterations):
        if k in at:
            losses.append(problem.value(point))
        rows = generator.integers(0, len(problem.x), BATCH)
        w.grad = torch.from_numpy(problem.gradient(point, rows))
        optimizer.step(problem.value(point, rows) if needs_loss else None)
        if k % _TOLD_EVERY == 0:
            tell("", k, recipe.iterations)
    accuracy = problem.accuracy(point, test, test_labels)
    return Result(
        recipe={},
        values={"loss": losses[-1], "test accuracy": accuracy},
        curves={"k": list(recipe.at), "loss": losses},
    )
