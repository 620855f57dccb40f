"""The slides' figures: problems, methods, the command that makes them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmomentum.experiments.reproduce import bnn, logistic, run, slides
from torchmomentum.experiments.reproduce.bnn import MEASURES, calibration_error
from torchmomentum.experiments.reproduce.data import load
from torchmomentum.experiments.reproduce.logistic import minimum, run_logistic
from torchmomentum.experiments.reproduce.methods import (
    EXACT_SCHEDULE,
    Method,
    fitted_factor,
    fitted_slope,
    run_methods,
    slides_methods,
)
from torchmomentum.experiments.reproduce.problems import (
    Laplacian,
    Logistic,
    constant,
    decaying,
    exact,
)
from torchmomentum.experiments.reproduce.slides import FIGURES, run_figure

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.cli.reproduce import REPRODUCTIONS
from torchmomentum.optim import NAG

SLIDES = [name for name in REPRODUCTIONS if name.startswith("slides-")]


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
    assert np.linalg.eigvalsh(matrix).max() <= problem.smoothness


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


def test_nag_accumulates_what_restarts_do_not():
    found = run_figure("slides-noise-constant", iterations=6000, seeds=2)["methods"]
    never, restarted = (found[name]["curve"]["mean"][-1] for name in ("NAG", "SRNAG"))
    assert never > 2 * restarted


def test_fitted_rates():
    k = np.arange(1.0, 5001.0)
    assert fitted_slope(k, 3.0 / k**2) == pytest.approx(-2)
    assert fitted_factor(k[:1000], 0.5 * 0.99 ** k[:1000]) == pytest.approx(0.99)


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
    found = run_logistic((x, y, x, y), iterations=300, seeds=2)
    for name, values in found["methods"].items():
        assert min(values["curve"]["low"]) >= -1e-9, name
    assert found["methods"]["GD"]["shown"]["mean"][-1] < 0.7 * found["start"]
    assert minimum(problem) <= problem.value(np.zeros(problem.size))


@pytest.mark.parametrize("name", SLIDES)
def test_reproduces_and_resumes(name, tmp_path, capsys):
    arguments = ["reproduce", name, "--iterations", "150", "--seeds", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "| method | k = 1 |" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["provenance"]["torch"]
    assert (tmp_path / "curves.png").stat().st_size
    assert (tmp_path / "curves.svg").stat().st_size
    made = (tmp_path / "results.json").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 0
    assert (tmp_path / "results.json").stat().st_mtime_ns == made
    assert main(arguments) == 2
    assert main(["report", str(tmp_path / "results.json")]) == 0


def test_every_figure_has_a_name():
    assert set(FIGURES) | {"slides-logistic", "slides-bnn"} == set(SLIDES)


def test_the_bayesian_figure_against_iterations_and_time(tmp_path):
    arguments = ["reproduce", "slides-bnn", "--iterations", "100", "--seeds", "2"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    methods = json.loads((tmp_path / "results.json").read_text())["methods"]
    for values in methods.values():
        assert list(values["panels"]) == list(MEASURES)
        assert values["seconds"] == sorted(values["seconds"])
        assert len(values["seconds"]) == len(values["panels"]["test error"]["mean"])
        assert {"effective samples", "R-hat"} <= set(values["extras"])


@pytest.mark.parametrize(
    ("name", "module", "part", "seeds", "runs"),
    [
        ("slides-noise-decaying", slides, "run_methods", 5, 5),
        ("slides-logistic", logistic, "_follow", 2, 12),
        ("slides-bnn", bnn, "_follow", 2, 4),
    ],
)
def test_a_stopped_figure_goes_on(name, module, part, seeds, runs, tmp_path, monkeypatch, capsys):
    arguments = ["reproduce", name, "--iterations", "100", "--seeds", str(seeds)]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    follow, followed = getattr(module, part), []

    def stop(*given, **options):
        followed.append(given)
        if len(followed) == 4:
            raise KeyboardInterrupt
        return follow(*given, **options)

    monkeypatch.setattr(module, part, stop)
    arguments += ["--out", str(tmp_path / "cut")]
    assert main(arguments) == 130
    assert not (tmp_path / "cut" / "results.json").exists()
    assert main([*arguments, "--resume"]) == 0
    assert len(followed) == runs + 1  # one was begun twice
    assert [path.name for path in (tmp_path / "cut").glob("*.json")] == ["results.json"]
    whole, cut = (
        json.loads((tmp_path / place / "results.json").read_text())["methods"]
        for place in ("whole", "cut")
    )
    for method in whole:
        assert whole[method]["curve"] == cut[method]["curve"]


@pytest.mark.parametrize("name", ["slides-logistic", "slides-bnn"])
def test_mnist(name, data_folder, tmp_path, capsys, monkeypatch):
    def some(*arguments, **options):
        return tuple(part[:500] for part in load(*arguments, **options))

    monkeypatch.setattr(run, "load", some)
    arguments = ["reproduce", name, "--iterations", "100", "--seeds", "1", "--out", str(tmp_path)]
    arguments += ["--data", "mnist", "--data-dir", str(data_folder), "--offline"]
    assert main(arguments) == 0
    assert "500 images" in capsys.readouterr().out
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments[:-4], "--resume"]) == 2  # those are not the digits


def test_the_calibration_error():
    labels = torch.tensor([0, 0, 1, 1])
    sure = torch.tensor([[1.0, 0.0]] * 4)  # wholly sure, half of them right
    assert calibration_error(sure, labels) == pytest.approx(0.5)
    half = torch.tensor([[0.5, 0.5]] * 4)
    assert calibration_error(half, labels) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["slides-quadratc"], "did you mean slides-quadratic"),
        (["slides-quadratic", "--iterations", "5"], "iterations must be at least 100, got 5"),
        (["slides-quadratic", "--data", "mnist"], "slides-quadratic has no data"),
        (["slides-bnn", "--data", "mnits"], "did you mean mnist"),
        (["slides-bnn", "--data", "mnist", "--offline", "--data-dir", "/nowhere"], "MNIST is not"),
        (["slides-quadratic", "--seeds", "0"], "seeds must be at least 1, got 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, words, tmp_path, capsys):
    assert main(["reproduce", *arguments, "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
