"""The slides' figures of optimization and sampling, as studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.studies.slides.methods import EXACT_SCHEDULE, Method, slides_methods
from torchmomentum.experiments.studies.slides.recipes import (
    Accumulation,
    Chain,
    Descent,
    Regression,
    recorded,
)
from torchmomentum.experiments.study import Scale, Study
from torchmomentum.optim.policies import Policy

# the released code's for decaying noise: F = 200 while k < 10000, then 400
NOISY_SCHEDULE: Policy = [(9_999, 200), (50_000, 400)]
FREQUENCIES = (1, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
# a desk computes the figures as they stand on the slides: it needs no scale of its own
_SCALES = {"smoke": Scale({"iterations": 200}), "paper": Scale()}
# what the slides say of the gap after k exact steps
THEOREMS = {
    "GD": "1/k",
    "GD + momentum": "1/k",
    "heavy ball": "1/k",
    "NAG": "1/k^2",
    "ARNAG": "geometric",
    "SRNAG": "geometric",
}
_HEAVY = ("GD + momentum", "heavy ball")
_CONSTANT = ("GD", *_HEAVY)
METHODS: Mapping[str, Mapping[str, Method]] = {
    "exact": slides_methods(EXACT_SCHEDULE),
    "noisy": slides_methods(NOISY_SCHEDULE),
    "momentum": {n: m for n, m in slides_methods(None).items() if n in _CONSTANT},
    "accumulation": {n: m for n, m in slides_methods(NOISY_SCHEDULE).items() if n not in _HEAVY},
    "frequencies": {
        **{f"F = {every}": Method(restart=every) for every in FREQUENCIES},
        "never": Method(),
    },
}
_QUADRATIC: Mapping[str, Any] = {
    "x": "k",
    "y": "gap",
    "shown": (1, 10, 100, 1_000, 10_000, 49_999),
    "quantity": "f(w_k) - f*",
    "fitted": True,
}


def descent_recipe(settings: Mapping[str, Any], seed: int) -> Recipe:
    """A method of one of :data:`METHODS` on the quadratic."""
    iterations, method = settings["iterations"], METHODS[settings["methods"]][settings["method"]]
    at = recorded(iterations, settings["points"], _QUADRATIC["shown"])
    cycle = bool(settings.get("cycle"))
    noise, size = settings["noise"], settings.get("size", 1000)
    kind = Accumulation if settings.get("from_minimum") else Descent
    return kind(method._asdict(), noise, iterations, seed, cycle=cycle, size=size, at=at)


def _quadratic(
    name: str,
    title: str,
    noise: str,
    methods: str,
    seeds: int,
    *,
    theorem: Mapping[str, str] | None = None,
    **settings: Any,
) -> Study:
    if theorem is None:
        theorem = THEOREMS if noise == "exact" else {}
    graph = "cycle" if settings.get("cycle") else "path"
    common = {"noise": noise, "methods": methods, "iterations": 50_000, "points": 300}
    return Study(
        name=name,
        title=f"{graph} Laplacian, {title}",
        recipe=f"{__name__}:descent_recipe",
        axes={"method": tuple(METHODS[methods])},
        settings={**common, **settings},
        seeds=seeds,
        scales=_SCALES,
        metric="f(w_k) - f*",
        table="iterations",
        figure="iterations",
        view={**_QUADRATIC, "theorem": theorem},
        options=("iterations", "cycle"),
    )


def regression_recipe(settings: Mapping[str, Any], seed: int) -> Recipe:
    """An optimizer on softmax regression; the minimum is one for all seeds."""
    if settings["method"] == "minimum":
        return Regression(settings["data"], "minimum")
    at = recorded(settings["iterations"], 80, _LOGISTIC["shown"])
    return Regression(settings["data"], settings["method"], settings["iterations"], seed, at)


def chain_recipe(settings: Mapping[str, Any], seed: int) -> Recipe:
    """A sampler on the Bayesian network."""
    at = recorded(settings["iterations"], 60, _CHAINS["shown"])
    return Chain(settings["data"], settings["method"], settings["iterations"], seed, at)


SLIDES_QUADRATIC = _quadratic("slides-quadratic", "exact gradients", "exact", "exact", 1)
SLIDES_NOISE_DECAYING = _quadratic(
    "slides-noise-decaying", "noise of 0.1 / (floor(k / 100) + 1)", "decaying", "noisy", 5
)
SLIDES_NOISE_CONSTANT = _quadratic(
    "slides-noise-constant", "noise of 0.001", "constant", "noisy", 5
)
SLIDES_RESTART_FREQUENCY = _quadratic(
    "slides-restart-frequency",
    "noise of 0.001, Nesterov's momentum restarted every F steps",
    "constant",
    "frequencies",
    5,
)
# the slides' figure beside momentum for optimization: 500 unknowns, the Laplacian of a cycle
SLIDES_MOMENTUM = _quadratic(
    "slides-momentum",
    "500 unknowns, exact gradients",
    "exact",
    "momentum",
    1,
    cycle=True,
    size=500,
)
# the theorem: with stochastic gradients Nesterov's momentum accumulates error, E f - f* = O(k)
SLIDES_ACCUMULATION = _quadratic(
    "slides-accumulation",
    "noise of 0.001 from the minimum on",
    "constant",
    "accumulation",
    5,
    theorem={"NAG": "k"},
    from_minimum=True,
)
_LOGISTIC: Mapping[str, Any] = {
    "x": "k",
    "y": "loss",
    "less": "minimum",  # whose loss is taken off
    "shown": (1, 10, 100, 1_000, 9_999),
    "quantity": "f(w_k) - f*, all training images",
    "extras": ("test accuracy",),
}
SLIDES_LOGISTIC = Study(
    name="slides-logistic",
    title="softmax regression, batches of 128",
    recipe=f"{__name__}:regression_recipe",
    axes={"method": (*THEOREMS, "minimum")},
    settings={"data": "digits", "iterations": 10_000},
    seeds=3,
    scales=_SCALES,
    metric="f(w_k) - f*, all training images",
    table="iterations",
    figure="iterations",
    view=_LOGISTIC,
    options=("data", "iterations"),
)
_CHAINS: Mapping[str, Any] = {
    "x": "k",
    "y": "test error",
    "shown": (1, 10, 100, 1_000, 5_999),
    "quantity": "test error of the mean prediction",
    "extras": ("negative log-likelihood", "calibration error", "seconds"),
    "panels": ("test error", "negative log-likelihood", "calibration error"),
    "seconds": "seconds",  # what else the curves are drawn against
}
SLIDES_BNN = Study(
    name="slides-bnn",
    title="Bayesian network of 50 hidden units",
    recipe=f"{__name__}:chain_recipe",
    axes={"method": ("LMC", "HMC")},
    settings={"data": "digits", "iterations": 6_000},
    seeds=3,
    scales=_SCALES,
    metric="test error of the mean prediction",
    table="iterations",
    figure="panels",
    view=_CHAINS,
    derive="torchmomentum.experiments.studies.slides.chains:mixing",
    options=("data", "iterations"),
)
