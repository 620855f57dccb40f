"""Every arm gets the same trials of its own settings, and is compared at its best."""

import json
from dataclasses import replace

import pytest

from tests.experiments.studies.test_tuning import SMALL
from torchmomentum.experiments import compare
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.studies.compare import comparison
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.studies.search import Search, searched
from torchmomentum.experiments.sweeps.space import parse
from torchmomentum.experiments.tasks.digits import PermutedDigits


def test_from_the_command_line(tmp_path):
    command = ["compare", "pdigits", "--models", "lstm,rms-lstm", "--scale", "smoke", "--quiet"]
    command += ["--tune", "lr=0.001,0.01", "--seeds", "2", "--threads", "1", "--jobs", "1"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    found = load_results(tmp_path / "out")
    assert [arm["model"].partition("@")[0] for arm in found.arms()] == ["lstm", "rms-lstm"]
    for each in found.view["searched"].values():
        assert [values for values, *_ in each["trials"]] == [{"lr": 0.001}, {"lr": 0.01}]
    rows = table(found).rows
    assert [row[0] for row in rows] == ["lstm", "rms-lstm"]
    assert {row[1] for row in rows} <= {"lr 0.001", "lr 0.01"}
    assert main([*command, "--out", str(tmp_path / "out")]) == 2


def _searched(study, search, tmp_path):
    place = Place(tmp_path / "runs")
    found = searched(study, search, place, str(tmp_path / "journal"), quiet=True)
    return found, place


def test_every_arm_gets_the_same_trials_and_seeds_that_the_verdict_has_not(tmp_path):
    models = {"lstm": "lstm", "mine": "momentum-lstm@mu=0.3"}
    optimizers = ("rmsprop", "sgd")
    study, _ = comparison(
        "pdigits", models, scale="smoke", changes={**SMALL, "epochs": 2}, optimizers=optimizers
    )
    found, place = _searched(study, Search(3, seeds=2), tmp_path)
    told = [*found.view["searched"].values()]
    assert [each["arm"] for each in told] == [
        {"model": model, "optimizer": optimizer} for model in models for optimizer in optimizers
    ]
    assert [len(each["trials"]) for each in told] == [3] * 4
    tried = [{*each["trials"][0][0]} for each in told]
    assert tried == [{"lr"}, {"lr", "momentum"}, {"lr", "step_size"}, {*told[3]["values"]}]
    assert told[3]["values"].keys() == {"lr", "step_size", "momentum"}  # mu is fixed by its name
    # the task's learning rate is RMSprop's; SGD begins at its own
    assert told[0]["trials"][0][0] == {"lr": 1e-3}
    assert told[1]["trials"][0][0] == {"lr": 0.1, "momentum": 0.9}
    recipes = [json.loads(path.read_text()) for path in place.runs.glob("*/recipe.json")]
    assert {recipe["init_seed"] for recipe in recipes} == {1000, 1001}
    for each in told:
        scores = [score for _, score, _ in each["trials"] if score is not None]
        best = next(values for values, score, _ in each["trials"] if score == max(scores))
        assert each["values"] == best
    runs = found.plan(seeds=1)
    assert {run.recipe.init_seed for run in runs} == {0}
    for run, each in zip(runs, told, strict=True):
        assert run.recipe.optimizer_options["lr"] == each["values"]["lr"]
        assert run.recipe.optimizer == each["arm"]["optimizer"]
    assert runs[3].recipe.model_options["rule"]["mu"] == 0.3


def test_a_search_again_computes_nothing_anew(tmp_path, monkeypatch):
    study, _ = comparison("pdigits", {"lstm": "lstm"}, scale="smoke", changes=SMALL)
    first, _ = _searched(study, Search(2), tmp_path)
    monkeypatch.setattr("torchmomentum.experiments.engine.training.train", None)
    again, _ = _searched(study, Search(2), tmp_path)
    assert again == first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Search(3, seeds=0), "tuning seeds must be at least 1, got 0"),
        (lambda: Search(None), "a grid needs values to try"),
    ],
)
def test_a_search_of_nothing_is_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_the_comparison_trains_what_the_trial_of_none_has_trained(tmp_path):
    study, _ = comparison("pdigits", {"lstm": "lstm"}, scale="smoke", changes=SMALL)
    found, place = _searched(study, Search(None, parse(["clip=none,1e-4"])), tmp_path)
    clips = [json.loads(path.read_text())["clip"] for path in place.runs.glob("*/recipe.json")]
    assert {*clips} == {None, 1e-4}
    (told,) = found.view["searched"].values()
    assert [run.recipe.clip for run in found.plan(seeds=1)] == [told["values"]["clip"]]


def test_what_no_arm_takes_is_named(tmp_path):
    study, _ = comparison("pdigits", {"lstm": "lstm"}, scale="smoke", changes=SMALL)
    with pytest.raises(UsageError, match="no model of pdigits has mu to tune"):
        _searched(study, Search(2, parse(["mu=0.1,0.2"])), tmp_path)


@pytest.mark.parametrize("tune", ["many", "0"])
def test_a_wrong_number_of_trials_is_named(tune, tmp_path, capsys):
    command = ["compare", "pdigits", "--models", "lstm", "--scale", "smoke", "--quiet"]
    assert main([*command, "--tune", tune, "--jobs", "1", "--out", str(tmp_path / "out")]) == 2
    assert "error: tune must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pdigits", "--space", "lr=0.1,0.2"], "--space is how --tune tries; give --tune N too"),
        (["pdigits", "--tune", "2", "--space", "no=1,2", "--space", "lr=1,2"], "has no to tune"),
        (["pdigits,pdigits"], "tasks lists pdigits twice"),
        (["pdigits", "--tune", "3", "--sampler", "grid"], "a grid tries all values"),
    ],
)
def test_what_a_comparison_cannot_mean_is_told(arguments, message, tmp_path, capsys):
    command = ["compare", *arguments, "--models", "lstm", "--scale", "smoke", "--quiet"]
    assert main([*command, "--jobs", "1", "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("trials", [2.5, True, "3"])
def test_trials_are_a_whole_number(trials):
    with pytest.raises(UsageError, match="tune must be a whole number of trials"):
        Search(trials)


def test_without_validation_nothing_is_tried(tmp_path, monkeypatch):
    study, _ = comparison("pdigits", {"lstm": "lstm"}, scale="smoke", changes=SMALL)
    load = PermutedDigits.load
    monkeypatch.setattr(
        PermutedDigits, "load", lambda *a, **k: replace(load(*a, **k), validation=())
    )
    with pytest.raises(UsageError, match="tuning needs validation samples, and this task holds"):
        _searched(study, Search(3), tmp_path)
    assert not list(tmp_path.glob("runs/*/recipe.json"))


def test_what_no_training_can_have_is_told_before_any_is_trained(tmp_path):
    study, _ = comparison("pdigits", {"lstm": "momentum-lstm"}, scale="smoke", changes=SMALL)
    with pytest.raises(UsageError, match=r"mu must be in \[0, 1\), got 1.5"):
        _searched(study, Search(None, parse(["mu=0.1,1.5"])), tmp_path)
    assert not list(tmp_path.glob("runs/*/recipe.json"))


def test_more_trials_that_another_command_asked_for_do_not_count(tmp_path):
    changes = {"scale": "smoke", "changes": SMALL}
    one, _ = comparison("pdigits", {"lstm": "lstm"}, **changes)
    _searched(one, Search(4), tmp_path)
    two, _ = comparison("pdigits", {"lstm": "lstm", "gru": "gru"}, **changes)
    found, _ = _searched(two, Search(2), tmp_path)
    assert [len(each["trials"]) for each in found.view["searched"].values()] == [2, 2]


def test_an_arm_that_is_tuned_to_anothers_values_stays_an_arm_of_its_own(tmp_path):
    models = {"lstm": "lstm", "lstm@lr=0.02": "lstm@lr=0.02"}
    study, _ = comparison("pdigits", models, scale="smoke", changes=SMALL)
    found, place = _searched(study, Search(None, parse(["lr=0.02"])), tmp_path)
    runs = found.plan(seeds=2)
    assert [arm["model"] for arm in found.arms] == ["lstm@lr=0.02 tuned", "lstm@lr=0.02"]
    assert {run.recipe.optimizer_options["lr"] for run in runs} == {0.02}
    results = run_study(found, runs, place, tmp_path / "out", scale="smoke", quiet=True)
    shown = table(results)
    assert [row[:2] for row in shown.rows] == [["lstm", "lr 0.02"], ["lstm@lr=0.02", ""]]
    assert "Each model but lstm@lr=0.02, which has nothing of what was tried," in shown.caption
    assert "has the best values of 1 trial, on validation samples" in shown.caption


def test_an_arm_no_trial_of_which_ended_is_named(tmp_path):
    changes = {"optimizer": "sgd", "threads": 1, "hidden_size": 4}
    study, _ = comparison("adding", {"rnn": "rnn"}, scale="smoke", changes=changes)
    search = Search(None, parse(["lr=1e30,1e35"]))
    found, place = _searched(study, search, tmp_path)
    (told,) = found.view["searched"].values()
    assert all(score is None for _, score, _ in told["trials"])
    runs = found.plan(seeds=1)
    results = run_study(found, runs, place, tmp_path / "out", scale="smoke", quiet=True)
    assert "No trial of rnn came to its end. " in table(results).caption


def test_one_optimizer_begins_at_its_own_defaults_too(tmp_path):
    study, _ = comparison(
        "pdigits", {"lstm": "lstm"}, scale="smoke", changes={**SMALL, "optimizer": "sgd"}
    )
    found, _ = _searched(study, Search(1), tmp_path)
    (told,) = found.view["searched"].values()
    assert told["trials"][0][0] == {"lr": 0.1, "momentum": 0.9}


@pytest.mark.parametrize("name", ["task", "model", "seed"])
def test_what_the_trials_have_in_common_is_not_tried(name):
    with pytest.raises(UsageError, match=f"{name} cannot be tried"):
        parse([f"{name}=1,2"])


@pytest.mark.parametrize(
    "option",
    [["--sampler", "random"], ["--storage", "sqlite:///x"], ["--tuning-seeds", "3"]],
)
def test_what_says_how_to_tune_needs_something_to_tune(option, capsys):
    assert main(["compare", "pdigits", *option]) == 2
    assert f"{option[0]} is how --tune tries; give --tune N too" in capsys.readouterr().err


def test_optimizers_from_python(tmp_path):
    how = {"scale": "smoke", "quiet": True, "seeds": 1, **SMALL}
    found = compare("pdigits", ["lstm"], optimizer=["rmsprop", "sgd"], **how)
    assert found.axes["optimizer"] == ["rmsprop", "sgd"]
    assert [run.recipe["optimizer_options"]["lr"] for run in found.runs] == [1e-3, 0.1]
    for name in ("jobs", "seeds"):
        with pytest.raises(UsageError, match=f"{name} must be a whole number of at least 1"):
            compare("pdigits", ["lstm"], **{**how, name: 0})


def test_from_python(tmp_path):
    found = compare(
        "pdigits", ["lstm"], tune=2, seeds=2, out=tmp_path, scale="smoke", quiet=True, **SMALL
    )
    (told,) = found.view["searched"].values()
    assert len(told["trials"]) == 2
    assert found.seeds == [0, 1]
    assert load_results(tmp_path).view == found.view


def test_what_is_tried_from_python():
    how = {"scale": "smoke", "quiet": True, **SMALL}
    found = compare("pdigits", ["lstm"], tune=2, space=["lr=0.02,0.03"], seeds=1, **how)
    (told,) = found.view["searched"].values()
    assert {values["lr"] for values, *_ in told["trials"]} <= {0.02, 0.03}
    with pytest.raises(UsageError, match="space is what tune tries; give tune too"):
        compare("pdigits", ["lstm"], space=["lr=0.02,0.03"], **how)
