"""The slides' problems and methods: matrices, released curves, oracles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchmomentum.experiments.engine.compute import compute
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.studies.slides import regression
from torchmomentum.experiments.studies.slides.figures import METHODS
from torchmomentum.experiments.studies.slides.methods import (
    EXACT_SCHEDULE,
    Method,
    run_methods,
    slides_methods,
)
from torchmomentum.experiments.studies.slides.problems import (
    Laplacian,
    Logistic,
    constant,
    decaying,
    exact,
)
from torchmomentum.experiments.studies.slides.recipes import Accumulation
from torchmomentum.optim import NAG


def _dense(problem):
    n = problem.size
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if problem.cycle:
        matrix[0, -1] = matrix[-1, 0] = -1
    return matrix


@settings(deadline=None, max_examples=20)
@given(size=st.integers(3, 30), cycle=st.booleans())
def test_the_laplacian_is_the_matrix(size, cycle):
    problem = Laplacian(size, cycle)
    matrix, w = _dense(problem), np.random.default_rng(0).standard_normal((2, size))
    np.testing.assert_allclose(problem.product(w), w @ matrix, atol=1e-12)
    np.testing.assert_allclose(problem.gradient(w), w @ matrix - problem.drive, atol=1e-12)
    value = 0.5 * np.einsum("bi,ij,bj->b", w, matrix, w) - w @ problem.drive
    np.testing.assert_allclose(problem.value(w), value, atol=1e-12)
    np.testing.assert_allclose(problem.gradient(problem.minimum), 0, atol=1e-12)
    np.testing.assert_allclose(
        problem.gap(w), problem.value(w) - problem.value(problem.minimum), atol=1e-12
    )
    # some eigenvalues of the cycle are the bound itself, but for rounding
    assert np.linalg.eigvalsh(matrix).max() <= problem.smoothness * (1 + 1e-12)
    assert np.linalg.eigvalsh(_dense(Laplacian(200, cycle))).max() > 0.999 * problem.smoothness


def test_where_the_released_curves_begin():
    problem = Laplacian()
    assert problem.gap(problem.start) == pytest.approx(0.4995, abs=1e-6)
    assert abs(Laplacian(cycle=True).drive.sum()) < 1e-12


def _released(kind, iterations):
    """The published update on the path Laplacian, both sequences written out."""
    n = 1000

    def product(x):
        found = 2 * x
        found[1:] -= x[:-1]
        found[:-1] -= x[1:]
        return found

    def value(x):
        return 0.5 * x @ product(x) - x[0]

    best = -0.5 * n / (n + 1)
    x = y = np.zeros(n)
    gaps, k, seen = [], 1, value(x)
    for t in range(1, iterations + 1):
        gaps.append(abs(value(y) - best))
        gradient = product(y)
        gradient[0] -= 1
        new = y - gradient / 4
        mu = {"gd": 0.0, "mgd": 0.9}.get(kind, (k - 1) / (k + 2))
        y = new + mu * (new - x)
        now = value(new)
        if kind == "srnag":
            every = 1000 if t < 2000 else 2000 if t < 10000 else 4000
            k = 1 if k >= every else k + 1
        else:
            k = 1 if kind == "arnag" and now > seen else k + 1
        x, seen = new, now
    return np.array(gaps)


def test_the_released_curves_to_six_digits():
    methods, iterations = slides_methods(EXACT_SCHEDULE), 4500
    found = run_methods(Laplacian(), methods, exact, iterations=iterations)
    names = {"gd": "GD", "mgd": "GD + momentum", "nag": "NAG", "arnag": "ARNAG", "srnag": "SRNAG"}
    for kind, name in names.items():
        gaps, expected = found[name]["gaps"], _released(kind, iterations)
        seen = expected > 1e-9  # below, the transcription's own differences cancel
        np.testing.assert_allclose(gaps[seen], expected[seen], rtol=1e-6, err_msg=name)
    assert found["SRNAG"]["restarts"] == 2  # after 1,000 and 3,000 steps
    assert found["ARNAG"]["restarts"] > 0


def test_the_optimizers_take_the_same_path():
    problem, iterations = Laplacian(60), 400
    schedule = [(100, 30), (1000, 70)]
    methods = {
        "momentum": Method(mu=0.9),
        "heavy": Method(mu=0.9, heavy=True),
        "nag": Method(),
        "often": Method(restart=20),
        "scheduled": Method(restart=schedule),
    }
    makers = {
        "momentum": lambda p: torch.optim.SGD(p, 0.25, momentum=0.9, nesterov=True),
        "heavy": lambda p: torch.optim.SGD(p, 0.25, momentum=0.9),
        "nag": lambda p: NAG(p, 0.25),
        "often": lambda p: NAG(p, 0.25, restart=20),
        "scheduled": lambda p: NAG(p, 0.25, restart=schedule),
    }
    found = run_methods(problem, methods, exact, iterations=iterations)
    for name, make in makers.items():
        w = torch.nn.Parameter(torch.from_numpy(problem.start))
        optimizer, gaps = make([w]), []
        for _ in range(iterations):
            gaps.append(problem.gap(w.detach().numpy()))
            w.grad = torch.from_numpy(problem.gradient(w.detach().numpy()))
            optimizer.step()
        np.testing.assert_allclose(found[name]["gaps"], gaps, rtol=1e-6, atol=1e-15)


def test_noise_has_the_slides_deviations_and_its_seed():
    draw = np.random.default_rng
    assert exact(5, draw(0), (3,)) == 0.0
    for k, sigma in ((0, 0.1), (99, 0.1), (100, 0.05), (250, 0.1 / 3)):
        assert decaying(k, draw(0), (100_000,)).std() == pytest.approx(sigma, rel=0.02)
    assert constant(10**4, draw(0), (100_000,)).std() == pytest.approx(0.001, rel=0.02)
    methods = slides_methods(100)
    first, second, again = (
        run_methods(Laplacian(50), methods, decaying, iterations=120, seed=s)["NAG"]["gaps"]
        for s in (1, 2, 1)
    )
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, again)


def test_logistic_regression():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.integers(0, 3, 40)
    problem = Logistic(x, y, penalty=0.01)
    w = rng.standard_normal(problem.size)
    slope = problem.gradient(w)
    for i in range(problem.size):
        step = np.zeros(problem.size)
        step[i] = 1e-6
        difference = (problem.value(w + step) - problem.value(w - step)) / 2e-6
        assert slope[i] == pytest.approx(difference, abs=1e-6)
    u = rng.standard_normal(problem.size)
    distance = np.linalg.norm(problem.gradient(u) - slope)
    assert distance <= problem.smoothness * np.linalg.norm(u - w)
    assert regression.minimum(problem) <= problem.value(np.zeros(problem.size))
    # every column tells its own class: this many are classified rightly
    eye = np.eye(3)
    perfect = np.vstack([10 * eye, np.zeros((1, 3))]).ravel()
    assert problem.accuracy(perfect, np.eye(3), np.array([0, 1, 2])) == 1.0
    assert problem.accuracy(perfect, np.eye(3), np.array([0, 2, 1])) == pytest.approx(1 / 3)


def test_the_frequencies_are_restarts_and_never_is_none():
    found = METHODS["frequencies"]
    assert found["never"] == Method()
    assert {name: method.restart for name, method in found.items() if name != "never"} == {
        f"F = {f}": f for f in (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    }


def test_constant_momentum_is_torchs_in_both_forms():
    """v_k = w_{k-1} - s g, w_k = v_k + 0.9 (v_k - v_{k-1}); and the heavy ball."""
    for name, heavy in (("GD + momentum", False), ("heavy ball", True)):
        w = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        optimizer = regression.OPTIMIZERS[name]([w], lr=0.1)
        point = before = 1.0
        for _ in range(4):
            w.grad = 2 * w.detach()  # of w^2
            optimizer.step()
            if heavy:
                point, before = point - 0.2 * point + 0.9 * (point - before), point
            else:
                new = point - 0.2 * point
                point, before = new + 0.9 * (new - before), new
            assert w.item() == pytest.approx(point)


def test_from_the_minimum_gradient_descent_has_the_gap_of_its_noise():
    """Each coordinate of the spectrum is an autoregression, whose variance is a geometric sum."""
    n, s, sigma, steps = 60, 0.25, 0.001, 400
    problem = Laplacian(n)
    methods = {"GD": Method(mu=0.0), "NAG": Method(), "SRNAG": Method(restart=20)}
    found = [
        run_methods(problem, methods, constant, iterations=steps + 1, seed=k, start=problem.minimum)
        for k in range(200)
    ]
    eigenvalues = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    kept = (1 - s * eigenvalues) ** 2
    for k in (1, 10, steps):
        variance = (s * sigma) ** 2 * (1 - kept**k) / (1 - kept)
        expected = 0.5 * (eigenvalues * variance).sum()
        gaps = np.array([each["GD"]["gaps"][k] for each in found])
        assert abs(gaps.mean() - expected) < 4 * gaps.std() / len(gaps) ** 0.5
    assert all(each[name]["gaps"][0] == 0 for each in found for name in methods)
    ends = {m: np.mean([each[m]["gaps"][-1] for each in found]) for m in methods}
    assert ends["NAG"] > 1.5 * ends["SRNAG"] > 1.5 * ends["GD"]


def test_without_noise_nothing_is_accumulated(tmp_path):
    study = STUDIES.find("slides-accumulation")
    (recipe,) = (run.recipe for run in study.plan(seeds=1) if run.arm["method"] == "NAG")
    still = replace(recipe, noise="exact", iterations=2000, at=[0, 1999])
    found = compute(still, Place(tmp_path))
    assert max(found.curves["gap"]) < 1e-28
    assert isinstance(recipe, Accumulation)
    assert not isinstance(STUDIES.find("slides-quadratic").plan()[0].recipe, Accumulation)


def test_the_momentum_figure_is_on_the_cycle_with_500_unknowns():
    recipes = [run.recipe for run in STUDIES.find("slides-momentum").plan()]
    assert {(recipe.size, recipe.cycle, recipe.noise) for recipe in recipes} == {
        (500, True, "exact")
    }
