"""The slides' sampling figure: a Bayesian network by Langevin and Hamiltonian Monte Carlo."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchmomentum.experiments.reproduce.data import Data
from torchmomentum.experiments.reproduce.parts import Parts
from torchmomentum.experiments.reproduce.slides import curve, recorded
from torchmomentum.sampling import HMC, LMC, diagnose

ITERATIONS, BATCH, SEEDS, HIDDEN = 6_000, 128, 3, 50
_POINTS, _THINNING = 60, 10
_SHOWN = (1, 10, 100, 1_000, 5_999)
_PRIOR = 1.0  # the standard deviation of each weight
_CHOSEN_FOR = 1347  # images


def samplers(images: int) -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """Both samplers for so many training images.

    Steps and friction were chosen by hand on the digits, among a few, by the error after 3,000
    steps of one seed. The potential grows with the number of images: so that a step stays as
    stable, Langevin's falls with it, and the Hamiltonian's with its root, with which the friction
    grows.
    """
    more = images / _CHOSEN_FOR
    hmc = partial(HMC, lr=1e-2 / math.sqrt(more), friction=10.0 * math.sqrt(more))
    return {"LMC": partial(LMC, lr=3e-4 / more), "HMC": hmc}


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """The expected calibration error: how far confidence is from accuracy, over bins of it.

    Args:
        probabilities: ``(N, classes)``.
        labels: ``(N,)``.
        bins: How many bins of equal width.
    """
    confidence, guess = probabilities.max(1)
    right = (guess == labels).double()
    place = (confidence * bins).long().clamp(max=bins - 1)
    total = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            apart = (right[inside].mean() - confidence[inside].double().mean()).abs()
            total += float(apart * inside.double().mean())
    return total


MEASURES = ("test error", "negative log-likelihood", "calibration error")


class _Chain(NamedTuple):
    """One chain: :data:`MEASURES` of the mean prediction, when, and what each sample says alone."""

    measured: list[tuple[float, float, float]]
    seconds: list[float]
    trace: list[float]  # of each sample its negative log-likelihood on the test


def _measure(p: Tensor, labels: Tensor) -> tuple[float, float, float]:
    error = 1.0 - float((p.argmax(1) == labels).double().mean())
    nll = -float(p[torch.arange(len(labels)), labels].clamp_min(1e-12).log().mean())
    return error, nll, calibration_error(p, labels)


def _follow(
    data: tuple[Tensor, Tensor, Tensor, Tensor],
    make: Callable[..., torch.optim.Optimizer],
    seed: int,
    iterations: int,
    at: set[int],
) -> _Chain:
    """Follows one chain."""
    x, y, test, test_labels = data
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10))
    sampler: Any = make(net.parameters(), potential_scale=float(len(x)), generator=generator)
    mean, count, began = torch.zeros(len(test), 10), 0, time.perf_counter()
    found, out = _Chain([], [], []), 0.0
    burn_in = iterations // 10
    for k in range(iterations):
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        sampler.zero_grad()
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        weights = sum((p * p).sum() for p in net.parameters())
        (loss + weights / (2 * _PRIOR**2 * len(x))).backward()
        sampler.step()
        sampled = k >= burn_in and k % _THINNING == 0
        if sampled or k in at:
            paused = time.perf_counter()  # looking is no part of sampling
            with torch.no_grad():
                p = net(test).softmax(1)
            if sampled:
                mean, count = mean + p, count + 1
                found.trace.append(_measure(p, test_labels)[1])
            if k in at:
                found.measured.append(_measure(mean / count if count else p, test_labels))
                found.seconds.append(paused - began - out)
            out += time.perf_counter() - paused
    return found


def _mixing(chains: list[_Chain]) -> dict[str, list[float]]:
    """How far the chains agree on the likelihood of the test, where ArviZ is installed."""
    try:
        found = diagnose(torch.tensor([chain.trace for chain in chains]))
    except ImportError:
        return {}
    mixing = {"effective samples": [float(found.ess_bulk)], "R-hat": [float(found.r_hat)]}
    return {key: value for key, value in mixing.items() if math.isfinite(value[0])}


def run_bnn(
    data: Data,
    *,
    iterations: int = ITERATIONS,
    seeds: int = SEEDS,
    parts: Parts | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Computes the figure: the test error of the posterior mean, and how well it is calibrated."""
    train, labels, test, test_labels = data
    tensors = (
        torch.as_tensor(train, dtype=torch.float32),
        torch.as_tensor(labels).long(),
        torch.as_tensor(test, dtype=torch.float32),
        torch.as_tensor(test_labels).long(),
    )
    at, shown = recorded(iterations, _POINTS, _SHOWN)
    parts = Parts() if parts is None else parts
    methods: dict[str, Any] = {}
    for name, make in samplers(len(train)).items():
        chains = []
        for seed in range(seeds):
            follow = partial(_follow, tensors, make, seed, iterations, set(at))
            chains.append(_Chain(*parts.get(f"{name}, seed {seed}", follow)))
            tell(f"{name}, seed {seed}")
        tables = np.array([chain.measured for chain in chains]).transpose(2, 0, 1)
        methods[name] = {
            "curve": curve(tables[0], range(len(at))),
            "shown": curve(tables[0], [at.index(k) for k in shown]),
            "panels": {
                what: curve(each, range(len(at)))
                for what, each in zip(MEASURES, tables, strict=True)
            },
            "extras": {
                **dict(zip(MEASURES[1:], tables[1:, :, -1].tolist(), strict=True)),
                "seconds": [chain.seconds[-1] for chain in chains],
                **_mixing(chains),
            },
            "seconds": np.mean([chain.seconds for chain in chains], 0).tolist(),
        }
    return {
        "name": "slides-bnn",
        "title": f"Bayesian network {train.shape[1]}-{HIDDEN}-10, {len(train):,} images",
        "seeds": list(range(seeds)),
        "iterations": iterations,
        "at": at,
        "shown": shown,
        "quantity": "test error of the mean prediction",
        "methods": methods,
    }
