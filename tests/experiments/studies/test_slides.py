"""The slides' figures: problems, methods, the command that makes them."""

import functools
import json
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place, silent
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.report.fits import fitted_factor, fitted_slope
from torchmomentum.experiments.report.iterations import curve, rates, window
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.studies.slides import chains, regression
from torchmomentum.experiments.studies.slides.images import load
from torchmomentum.experiments.studies.slides.methods import (
    run_methods,
    slides_methods,
)
from torchmomentum.experiments.studies.slides.problems import (
    Laplacian,
    decaying,
)
from torchmomentum.experiments.studies.slides.recipes import Chain, Regression

ROOT = Path(__file__).parents[3]
SLIDES = [name for name in STUDIES if name.startswith("slides-")]
ITERATIVE = [name for name in SLIDES if name not in ("slides-logistic", "slides-bnn")]


def _run(name, folder, *, seeds=None, **changes):
    study = STUDIES.find(name)
    runs = study.plan(seeds=seeds, changes=changes)
    return run_study(study, runs, Place(folder / "runs"), folder / "out", quiet=True)


def test_nag_accumulates_what_restarts_do_not(tmp_path):
    results = _run("slides-noise-constant", tmp_path, seeds=2, iterations=6000)
    ends = {arm["method"]: curve(results, arm)[1].mean(0)[-1] for arm in results.arms()}
    assert ends["NAG"] > 2 * ends["SRNAG"]


def test_fitted_rates():
    k = np.arange(1.0, 5001.0)
    assert fitted_slope(k, 3.0 / k**2) == pytest.approx(-2)
    assert fitted_factor(k[:1000], 0.5 * 0.99 ** k[:1000]) == pytest.approx(0.99)


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
    # two of nearly the same confidence, one of them right, and one of another, right
    several = torch.tensor([[0.9, 0.1], [0.08, 0.92], [0.4, 0.6]])
    gaps = abs((1 - 0.9) + (0 - 0.92)) + (1 - 0.6)
    found = chains.calibration_error(several, torch.tensor([0, 0, 1]))
    assert found == pytest.approx(gaps / 3)


@pytest.mark.parametrize("name", SLIDES)
def test_reproduces_and_resumes(name, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["reproduce", name, "--scale", "smoke", "--seeds", "2", "--jobs", "1"]
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
    assert main(["report", str(out), "--markdown"]) == 0
    head = table(results).head
    assert len(results.runs) == 2 * len(results.axes["method"])
    if name == "slides-bnn":
        diagnosed = find_spec("arviz_stats") is not None  # there is none for Python 3.10
        assert ({"effective samples", "R-hat"} <= set(head)) is diagnosed


@pytest.mark.parametrize("name", ["slides-noise-decaying", "slides-logistic", "slides-bnn"])
def test_a_stopped_figure_goes_on(name, tmp_path, monkeypatch, capsys):
    from torchmomentum.experiments.engine import pool

    # the real one is most of the time, and has no part in stopping
    monkeypatch.setattr(regression, "minimum", lambda problem: 0.25)
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
    @functools.cache  # each run loads all images
    def some(*arguments, **options):
        return tuple(part[:500] for part in load(*arguments, **options))

    monkeypatch.setattr(regression, "load", some)
    monkeypatch.setattr(chains, "load", some)
    monkeypatch.setattr(regression, "minimum", lambda problem: 0.25)  # L-BFGS is slow on so few
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


def test_the_samplers_steps_shrink_as_the_potential_grows():
    one, four = chains.samplers(1347), chains.samplers(4 * 1347)
    assert one["LMC"].keywords == {"lr": 3e-4}
    assert one["HMC"].keywords == {"lr": 1e-2, "friction": 10.0}
    assert four["LMC"].keywords == {"lr": pytest.approx(7.5e-5)}
    assert four["HMC"].keywords == {"lr": pytest.approx(5e-3), "friction": pytest.approx(20.0)}


def test_looking_is_no_part_of_the_time_of_sampling(tmp_path, monkeypatch):
    def slow(*arguments):
        time.sleep(0.05)
        return 0.0, 0.0, 0.0

    monkeypatch.setattr(chains, "measure", slow)
    recipe = Chain("digits", "LMC", 20, 0, at=(2, 10, 19))
    result = chains.follow(recipe, Place(tmp_path), silent)
    seconds = result.curves["seconds"]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < 0.1  # and not three times as long
