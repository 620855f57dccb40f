"""The slides' sampling figure: a Bayesian network by Langevin and Hamiltonian Monte Carlo."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.result import Result, Results
from torchmomentum.experiments.studies.slides.images import load
from torchmomentum.experiments.studies.slides.recipes import Chain
from torchmomentum.sampling import HMC, LMC, diagnose

BATCH, HIDDEN, CLASSES = 128, 50, 10
MEASURES = ("test error", "negative log-likelihood", "calibration error")
_THINNING, _TOLD_EVERY, _BINS = 10, 50, 15
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


def calibration_error(p: Tensor, labels: Tensor) -> float:
    """How far confidence is from accuracy, in mean over samples: the expected calibration error.

    Of the likeliest class, in 15 bins of equal width, closed on the left and the last on both sides
    (Guo et al., 2017, equation 3). Written here, as Lightning Fabric imports torchmetrics at every
    start where it finds it.
    """
    confidence, found = p.double().max(1)
    bins = (confidence * _BINS).long().clamp(max=_BINS - 1)
    apart = (found == labels).double() - confidence
    return float(torch.zeros(_BINS).double().index_add(0, bins, apart).abs().sum() / len(p))


def measure(p: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """:data:`MEASURES` of probabilities ``(N, classes)`` beside labels ``(N,)``."""
    error = 1.0 - float((p.argmax(1) == labels).double().mean())
    nll = -float(p[torch.arange(len(labels)), labels].clamp_min(1e-12).log().mean())
    return error, nll, calibration_error(p, labels)


class _Images(NamedTuple):
    x: Tensor
    y: Tensor
    test: Tensor
    labels: Tensor


def _images(recipe: Chain, place: Place) -> _Images:
    train, labels, test, test_labels = load(recipe.data, place.data, offline=place.offline)
    return _Images(
        torch.as_tensor(train, dtype=torch.float32),
        torch.as_tensor(labels).long(),
        torch.as_tensor(test, dtype=torch.float32),
        torch.as_tensor(test_labels).long(),
    )


def network(features: int) -> nn.Sequential:
    """The network whose weights are sampled."""
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES))


def _potential(net: nn.Module, x: Tensor, y: Tensor, count: int) -> Tensor:
    """The mean negative log-posterior of a batch."""
    loss = nn.functional.cross_entropy(net(x), y)
    weights = sum((p * p).sum() for p in net.parameters())
    return loss + weights / (2 * _PRIOR**2 * count)


def _warm_up(data: _Images) -> None:
    """What a process does once is no part of sampling: on a network of its own."""
    with torch.random.fork_rng(devices=[]):
        net = network(data.x.shape[1])
        sampler = LMC(net.parameters(), lr=1e-9, generator=torch.Generator().manual_seed(0))
        for _ in range(3):
            sampler.zero_grad()
            _potential(net, data.x[:BATCH], data.y[:BATCH], len(data.x)).backward()
            sampler.step()


def follow(recipe: Chain, place: Place, tell: Tell) -> Result:
    """Follows one chain: :data:`MEASURES` of the mean prediction along the way.

    The first tenth is burn-in: there the measures are those of the latest weights.
    """
    torch.set_num_threads(1)
    data = _images(recipe, place)
    _warm_up(data)
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    net = network(data.x.shape[1])
    make = samplers(len(data.x))[recipe.method]
    sampler: Any = make(net.parameters(), potential_scale=float(len(data.x)), generator=generator)
    mean, count = torch.zeros(len(data.test), CLASSES), 0
    curves: dict[str, list[float]] = {name: [] for name in ("k", *MEASURES, "seconds")}
    trace, at, burn_in = list[float](), set(recipe.at), recipe.iterations // 10
    began, out = time.perf_counter(), 0.0
    for k in range(recipe.iterations):
        rows = torch.randint(len(data.x), (BATCH,), generator=generator)
        sampler.zero_grad()
        _potential(net, data.x[rows], data.y[rows], len(data.x)).backward()
        sampler.step()
        sampled = k >= burn_in and k % _THINNING == 0
        if sampled or k in at:
            paused = time.perf_counter()  # looking is no part of sampling
            with torch.no_grad():
                p = net(data.test).softmax(1)
            if sampled:
                mean, count = mean + p, count + 1
                trace.append(measure(p, data.labels)[1])
            if k in at:
                found = measure(mean / count if count else p, data.labels)
                for name, value in zip(curves, (k, *found, paused - began - out), strict=True):
                    curves[name].append(value)
            out += time.perf_counter() - paused
        if k % _TOLD_EVERY == 0:
            tell("", k, recipe.iterations)
    last = {name: curves[name][-1] for name in (*MEASURES, "seconds")}
    return Result(recipe={}, values={**last, "trace": trace}, curves=curves)


def mixing(results: Results) -> Mapping[str, Any]:
    """How far the chains of a sampler agree on the likelihood of the test, where ArviZ is there."""
    found: dict[str, dict[str, float]] = {}
    for arm in results.arms():
        traces = [run.values["trace"] for run in results.of(arm)]
        try:
            told = diagnose(torch.tensor(traces))
        except ImportError:
            return {}
        numbers = {"effective samples": float(told.ess_bulk), "R-hat": float(told.r_hat)}
        found[arm["method"]] = {k: v for k, v in numbers.items() if math.isfinite(v)}
    return {"mixing": found}
