r"""The slides' methods on one problem side by side, as sequences of momentum coefficients.

All but the heavy ball are :math:`v_k = w_{k-1} - s \nabla f(w_{k-1})`,
:math:`w_k = v_k + \mu_k (v_k - v_{k-1})`; they differ in :math:`\mu_k` alone. So all methods take
their steps at once, as rows of one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.experiments.studies.slides.problems import Array, Laplacian, Noise, exact
from torchmomentum.optim.policies import Policy, interval_after

_TOLD_EVERY = 500  # iterations
# the released exact-oracle schedule: F = 1000 while k < 2000, 2000 while k < 10000, then 4000
EXACT_SCHEDULE: Policy = [(1999, 1000), (9999, 2000), (50_000, 4000)]


class Method(NamedTuple):
    """How one method gets its momentum.

    Attributes:
        mu: A constant momentum; None for Nesterov's growing one.
        heavy: The heavy ball: the momentum is on ``w``, not on ``v``.
        restart: When Nesterov's momentum begins anew.
    """

    mu: float | None = None
    heavy: bool = False
    restart: Policy = None


def slides_methods(schedule: Policy) -> dict[str, Method]:
    """The six methods of the slides' figures."""
    return {
        "GD": Method(mu=0.0),
        "GD + momentum": Method(mu=0.9),
        "heavy ball": Method(mu=0.9, heavy=True),
        "NAG": Method(),
        "ARNAG": Method(restart="function"),
        "SRNAG": Method(restart=schedule),
    }


def run_methods(
    problem: Laplacian,
    methods: dict[str, Method],
    noise: Noise,
    *,
    iterations: int,
    seed: int = 0,
    at: Sequence[int] | None = None,
    start: Array | None = None,
    tell: Tell = silent,
) -> dict[str, Any]:
    """Follows all methods from one point, with the same noise for all of them.

    Args:
        problem: What to minimize.
        methods: By name.
        noise: What is added to the gradient of a step.
        iterations: How many points to record, the start counted in.
        seed: Of the noise.
        at: The iterations whose points are recorded, in order; None for all.
        start: The first point; None for the problem's.
        tell: Told how far it is.

    Returns:
        For each method its gaps ``f(w_k) - f*``, ``(points,)``, as ``gaps``, and how often it
        restarted, as ``restarts``.
    """
    names, n = list(methods), problem.size
    generator = np.random.default_rng(seed)
    shape = (len(names), n)
    w = np.broadcast_to(problem.start if start is None else start, shape).copy()
    v, new, moved, gradient = w.copy(), np.empty(shape), np.empty(shape), np.empty(shape)
    adaptive = [i for i, m in enumerate(methods.values()) if m.restart == "function"]
    heavy = [i for i, m in enumerate(methods.values()) if m.heavy]
    last = problem.value(v)  # before the step, of the adaptive ones
    done = np.zeros(len(names), dtype=np.int64)  # steps since the last restart
    restarts = np.zeros_like(done)
    mu = np.array([0.0 if m.mu is None else m.mu for m in methods.values()])
    growing = np.array([m.mu is None for m in methods.values()])
    scheduled = [i for i, m in enumerate(methods.values()) if isinstance(m.restart, (int, list))]
    step = 1.0 / problem.smoothness
    places = {k: i for i, k in enumerate(range(iterations) if at is None else at)}
    gaps = np.empty((len(places), len(names)))
    policies = [m.restart for m in methods.values()]
    for k in range(iterations):
        if k % _TOLD_EVERY == 0:
            tell("", k, iterations)
        if k in places:
            gaps[places[k]] = problem.gap(w)
        problem.gradient(w, out=gradient)
        if noise is not exact:
            gradient += noise(k, generator, (n,))
        coefficient = np.where(growing, done / (done + 3.0), mu)[:, None]
        gradient *= step
        np.subtract(w, gradient, out=new)
        np.subtract(new, v, out=moved)
        moved *= coefficient
        moved += new
        for i in heavy:  # its v is the w of the step before
            np.subtract(w[i], v[i], out=moved[i])
            moved[i] *= coefficient[i]
            moved[i] += new[i]
            new[i] = w[i]
        done += 1
        for i in scheduled:
            interval = interval_after(policies[i], k + 1)
            if interval is not None and done[i] >= interval:
                restarts[i] += 1
                done[i] = 0
        for i in adaptive:
            value = problem.value(new[i])
            if value > last[i]:
                restarts[i] += 1
                done[i] = 0
            last[i] = value
        v, w, new, moved = new, moved, v, w  # arrays that are used again
    return {
        name: {"gaps": gaps[:, i], "restarts": int(restarts[i])} for i, name in enumerate(names)
    }
