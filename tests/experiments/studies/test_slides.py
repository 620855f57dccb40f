"""The slides' figures: problems, methods, the command that makes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place, silent
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.report.fits import fitted_factor, fitted_slope
from torchmomentum.experiments.report.iterations import curve, rates, window
from torchmomentum.experiments.report.tables import table
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.studies.slides import chains, regression
from torchmomentum.experiments.studies.slides.figures import METHODS
from torchmomentum.experiments.studies.slides.images import load
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
from torchmomentum.experiments.studies.slides.recipes import Chain, Regression
from torchmomentum.optim import NAG

ROOT = Path(__file__).parents[3]
SLIDES = [name for name in STUDIES if name.startswith("slides-")]
ITERATIVE = [name for name in SLIDES if name not in ("slides-logistic", "slides-bnn")]


def _run(name, folder, *, seeds=None, **changes):
    study = STUDIES.find(name)
    runs = study.plan(seeds=seeds, changes=changes)
    return run_study(study, runs, Place(folder / "runs"), folder / "out", quiet=True)


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


def test_nag_accumulates_what_restarts_do_not(tmp_path):
    results = _run("slides-noise-constant", tmp_path, seeds=2, iterations=6000)
    ends = {arm["method"]: curve(results, arm)[1].mean(0)[-1] for arm in results.arms()}
    assert ends["NAG"] > 2 * ends["SRNAG"]


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
    assert regression.minimum(problem) <= problem.value(np.zeros(problem.size))
    # every column tells its own class: this many are classified rightly
    eye = np.eye(3)
    perfect = np.vstack([10 * eye, np.zeros((1, 3))]).ravel()
    assert problem.accuracy(perfect, np.eye(3), np.array([0, 1, 2])) == 1.0
    assert problem.accuracy(perfect, np.eye(3), np.array([0, 2, 1])) == pytest.approx(1 / 3)


def _images(*arguments, **options):
    """Eight images that tell their class by their brightest pixel; the test has other labels."""
    x = np.eye(8)[np.arange(80) % 8] + 0.01 * np.random.default_rng(0).random((80, 8))
    return x, np.arange(80) % 8, x[:8], (np.arange(8) + np.arange(8) // 6) % 8


def test_a_regression_is_told_of_the_test(monkeypatch, tmp_path):
    """The loss is the training images', the accuracy the test's: six of its eight labels agree."""
    monkeypatch.setattr(regression, "load", _images)
    recipe = Regression("digits", "NAG", 400, 1, (0, 399))
    found = regression.follow(recipe, Place(tmp_path), silent)
    assert found.values["test accuracy"] == 6 / 8
    assert found.curves["loss"][0] == pytest.approx(np.log(8))
    least = regression.follow(Regression("digits", "minimum"), Place(tmp_path), silent)
    assert least.values["loss"] < found.curves["loss"][1] < found.curves["loss"][0]


def test_a_chain_burns_in_and_averages(monkeypatch, tmp_path):
    """The posterior mean leaves the first tenth out, and is a mean, not the last sample."""
    monkeypatch.setattr(chains, "load", _images)
    monkeypatch.setattr(chains, "CLASSES", 8)
    seen, sampled = [], chains.measure

    def measure(p, labels):
        seen.append(p.clone())
        return sampled(p, labels)

    monkeypatch.setattr(chains, "measure", measure)
    found = chains.follow(Chain("digits", "HMC", 100, 0, (0, 99)), Place(tmp_path), silent)
    assert len(found.values["trace"]) == 9  # 10, 20, ..., 90: the ten before are burn-in
    samples, last = seen[1:-1], seen[-1]
    torch.testing.assert_close(last, torch.stack(samples).mean(0))
    assert not torch.allclose(last, samples[-1])
    assert found.curves["seconds"] == sorted(found.curves["seconds"])
    assert found.values["test error"] == found.curves["test error"][-1]


def test_the_measures_of_a_prediction():
    labels = torch.tensor([0, 0, 1, 1])
    sure = torch.tensor([[1.0, 0.0]] * 4)  # wholly sure, half of them right
    error, nll, calibration = chains.measure(sure, labels)
    assert (error, calibration) == (0.5, pytest.approx(0.5))
    assert nll == pytest.approx(-np.log(1e-12) / 2)
    half = torch.tensor([[0.5, 0.5]] * 4)
    assert chains.measure(half, labels)[1:] == (pytest.approx(np.log(2)), pytest.approx(0.0))


@pytest.mark.parametrize("name", SLIDES)
def test_reproduces_and_resumes(name, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["reproduce", name, "--iterations", "150", "--seeds", "2", "--jobs", "1"]
    arguments += ["--out", str(out), "--runs", str(tmp_path / "runs"), "--quiet"]
    assert main(arguments) == 0
    assert "k = 1" in capsys.readouterr().out
    results = load_results(out)
    assert results.provenance["torch"]
    assert {"curves.png", "curves.svg", "table.md"} <= {path.name for path in out.iterdir()}
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/result.json")}
    assert main([*arguments, "--resume"]) == 0
    assert files == {path: path.stat().st_mtime_ns for path in files}  # nothing computed twice
    assert main(arguments) == 2
    assert main(["report", str(out)]) == 0
    head = table(results).head
    assert len(results.runs) == 2 * len(results.axes["method"])
    if name == "slides-bnn":
        assert {"effective samples", "R-hat"} <= set(head)


@pytest.mark.parametrize("name", ["slides-noise-decaying", "slides-logistic", "slides-bnn"])
def test_a_stopped_figure_goes_on(name, tmp_path, monkeypatch, capsys):
    from torchmomentum.experiments.engine import pool

    common = ["reproduce", name, "--iterations", "100", "--seeds", "2", "--jobs", "1", "--quiet"]
    whole, cut = (
        [*common, "--out", str(tmp_path / part), "--runs", str(tmp_path / part / "runs")]
        for part in ("whole", "cut")
    )
    assert main(whole) == 0
    compute, computed = pool.compute, []

    def stop(recipe, *rest):
        computed.append(recipe.key)
        if len(computed) == 3:
            raise KeyboardInterrupt
        return compute(recipe, *rest)

    monkeypatch.setattr(pool, "compute", stop)
    assert main(cut) == 130
    assert not (tmp_path / "cut" / "results.json").exists()
    assert main([*cut, "--resume"]) == 0
    assert len(computed) == len({*computed}) + 1  # one was begun twice
    a, b = (load_results(tmp_path / part) for part in ("whole", "cut"))
    for ours, theirs in zip(a.runs, b.runs, strict=True):
        for name in ours.curves:
            assert name == "seconds" or ours.curves[name] == theirs.curves[name]


def test_a_methods_run_is_its_row_of_all(tmp_path):
    """A run of its own gives the bits that all methods at once gave."""
    results = _run("slides-noise-decaying", tmp_path, seeds=2, iterations=300)
    methods = slides_methods([(9_999, 200), (50_000, 400)])
    for seed in (0, 1):
        at = results.runs[0].curves["k"]
        together = run_methods(Laplacian(), methods, decaying, iterations=300, seed=seed, at=at)
        for arm in results.arms():
            gaps = results.of(arm)[seed].curves["gap"]
            assert gaps == together[arm["method"]]["gaps"].tolist()


def test_rates_are_fitted_where_the_table_says(tmp_path):
    assert window(50_000) == (500, 5_000)
    assert window(2_000) == (20, 200)
    results = _run("slides-quadratic", tmp_path, iterations=2_000)
    k, gaps = curve(results, results.arms()[0])
    inside = (k >= 20) & (k <= 200)
    expected = np.polyfit(np.log(k[inside]), np.log(gaps[0][inside]), 1)[0]
    assert rates(results, results.arms()[0])[0] == pytest.approx(expected)
    assert "fitted for k from 20 to 200." in table(results).caption


def test_the_cycle_is_one_word_away(tmp_path):
    found = _run("slides-quadratic", tmp_path, iterations=200, cycle=True)
    assert all(run.recipe["cycle"] for run in found.runs)


@pytest.mark.parametrize("name", ["slides-logistic", "slides-bnn"])
def test_mnist(name, data_folder, tmp_path, capsys, monkeypatch):
    def some(*arguments, **options):
        return tuple(part[:500] for part in load(*arguments, **options))

    monkeypatch.setattr(regression, "load", some)
    monkeypatch.setattr(chains, "load", some)
    arguments = ["reproduce", name, "--iterations", "100", "--seeds", "1", "--jobs", "1", "--quiet"]
    arguments += ["--out", str(tmp_path), "--runs", str(tmp_path / "runs")]
    mnist = ["--data", "mnist", "--data-dir", str(data_folder), "--offline"]
    assert main([*arguments, *mnist]) == 0
    assert "on mnist" in capsys.readouterr().out
    assert main([*arguments, "--resume"]) == 2  # those are not the digits
    assert "mnist, not of" in capsys.readouterr().err


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


def test_the_frequencies_are_restarts_and_never_is_none():
    found = METHODS["frequencies"]
    assert found["never"] == Method()
    assert {name: method.restart for name, method in found.items() if name != "never"} == {
        f"F = {f}": f for f in (1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    }


def test_what_samples_are_measured_by():
    """By hand: two of four are right; the likelihood of the labels; confidence against accuracy."""
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    labels = torch.tensor([0, 1, 1, 0])
    error, nll, calibration = chains.measure(p, labels)
    assert error == 0.5
    assert nll == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean())
    # each confidence is in a bin of its own: |1 - 0.9|, |0 - 0.6|, |1 - 0.8|, |0 - 0.7|
    assert calibration == pytest.approx((0.1 + 0.6 + 0.2 + 0.7) / 4)


def test_the_potential_is_the_negative_log_posterior():
    """With a standard normal prior on each weight, up to its constant, over the training images."""
    torch.manual_seed(0)
    net = chains.network(3)
    x, y = torch.randn(8, 3), torch.arange(8) % 10
    likelihood = torch.distributions.Categorical(logits=net(x)).log_prob(y).mean()
    prior = sum(torch.distributions.Normal(0.0, 1.0).log_prob(p).sum() for p in net.parameters())
    constant = sum(p.numel() for p in net.parameters()) * -0.5 * np.log(2 * np.pi)
    expected = -(likelihood + (prior - constant) / 40)
    torch.testing.assert_close(chains._potential(net, x, y, 40), expected.float())


def test_a_chain_is_of_the_whole_potential(tmp_path, monkeypatch):
    """The mean over a batch stands for the sum over all images."""
    made = []

    def samplers(images):
        def make(parameters, **options):
            made.append((images, options["potential_scale"]))
            return chains.LMC(parameters, lr=1e-6, **options)

        return {"LMC": make}

    monkeypatch.setattr(chains, "samplers", samplers)
    chains.follow(Chain("digits", "LMC", 20, 0, at=(10,)), Place(tmp_path), silent)
    assert made == [(1347, 1347.0)]


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


@pytest.mark.parametrize("name", SLIDES)
def test_recorded_figures_are_of_the_studies_in_the_code(name):
    results, study = load_results(ROOT / "results" / name), STUDIES.find(name)
    view = json.loads(json.dumps(study.view))
    assert {key: results.view[key] for key in view} == view
    assert (results.title, results.metric, results.table) == (
        study.title,
        study.metric,
        study.table,
    )
    assert results.axes == json.loads(json.dumps(dict(study.axes)))
    keys = [run.recipe.to_dict() for run in study.plan()]
    assert [run.recipe for run in results.runs] == keys
