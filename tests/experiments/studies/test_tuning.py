"""Every model gets what is best for it on validation samples, and Holm's correction is right."""

from dataclasses import replace

import pytest

from tests.experiments.report.test_tables import _results
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all
from torchmomentum.experiments.engine.training import setup
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.statistics import holm, paired_difference
from torchmomentum.experiments.report.tuned import tuned as tuned_table
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.compare import comparison
from torchmomentum.experiments.studies.run import run_study
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.studies.tuning import Tuning, tuned
from torchmomentum.experiments.study import FRESH
from torchmomentum.experiments.tasks import task_of
from torchmomentum.experiments.tasks.digits import PermutedDigits

SMALL = {"threads": 1, "hidden_size": 8, "epochs": 3, "train_limit": 256}


def test_each_model_gets_its_best_value(tmp_path):
    models = {"lstm": "lstm", "mine": "momentum-lstm@mu=0.3"}
    study, _ = comparison("pdigits", models, scale="smoke", changes=SMALL)
    place, values = Place(tmp_path / "runs"), [1e-4, 3e-2]
    found = tuned(study, Tuning("lr", values), place, quiet=True)
    scores = found.view["trials"]
    assert [*scores] == [f"{m}@lr={v}" for m in ("lstm", "mine") for v in values]
    for model, kept in zip(("lstm", "mine"), found.axes["model"], strict=True):
        assert kept == max((f"{model}@lr={v}" for v in values), key=scores.get)
        assert len({scores[f"{model}@lr={v}"] for v in values}) == 2
    runs = found.plan(seeds=3)
    recipe = next(run.recipe for run in runs if run.arm["model"].startswith("mine"))
    assert recipe.model_options["rule"]["mu"] == 0.3
    lrs = [float(model.rpartition("=")[2]) for model in found.axes["model"]]
    assert recipe.optimizer_options["lr"] == lrs[1]
    view = {**found.view, "references": ["lstm"]}
    done = run_study(
        replace(found, table="tuned", view=view), runs, place, tmp_path / "out", quiet=True
    )
    first = found.axes["model"][0]
    assert found.view["tuning_seeds"] == [FRESH, FRESH + 1]
    assert not {*done.seeds} & {*found.view["tuning_seeds"]}
    trials = [r for r in found.plan(seeds=2, first=FRESH) if r.arm["model"] == first]
    known = compute_all([run.recipe for run in trials], place, quiet=True)  # as they lie there
    means = [result.values["chosen_validation"] for result in known.values()]
    assert scores[first] == pytest.approx(sum(means) / 2)
    assert "of seeds 1000, 1001, with which nothing is tested" in table(done).caption
    rows = [["lstm", f"{lrs[0]}"], ["mine", f"{lrs[1]}"]]
    assert [row[:2] for row in table(done).rows] == rows


def test_lower_may_be_better_and_what_diverges_is_not_taken(tmp_path):
    changes = {"threads": 1, "length": 20, "hidden_size": 8}
    study, _ = comparison("adding", {"lstm": "lstm"}, scale="smoke", changes=changes)
    tuning = Tuning("lr", [1e-3, 1e30])
    found = tuned(study, tuning, Place(tmp_path), quiet=True)
    assert found.axes["model"] == ["lstm@lr=0.001"]
    again = tuned(study, Tuning("lr", [1e-6, 1e-2]), Place(tmp_path), quiet=True)
    assert again.axes["model"] == [min(again.view["trials"], key=again.view["trials"].get)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tuning("lr", []), "tuning lr needs at least one value"),
        (lambda: Tuning("lr", [1.0], 0), "tuning needs at least 1 seed, got 0"),
    ],
)
def test_a_tuning_of_nothing_is_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_without_validation_there_is_nothing_to_tune_on(tmp_path, monkeypatch):
    study, _ = comparison("pdigits", {"lstm": "lstm"}, scale="smoke", changes=SMALL)
    load = PermutedDigits.load
    monkeypatch.setattr(
        PermutedDigits, "load", lambda *a, **k: replace(load(*a, **k), validation=())
    )
    place = Place(tmp_path)
    with pytest.raises(UsageError, match="tuning needs validation samples, and this task holds"):
        tuned(study, Tuning("lr", [1e-3, 1e-2]), place, quiet=True)
    assert not list(tmp_path.glob("*/recipe.json"))


def test_holm_against_the_definition():
    """The smallest level at which the step-down procedure rejects each."""
    values = [0.011, 0.2, 0.004, 0.04, 0.04]

    def rejected(level):
        found, order = set(), sorted(range(5), key=lambda i: values[i])
        for rank, i in enumerate(order):
            if values[i] > level / (5 - rank):
                break
            found.add(i)
        return found

    levels = [k / 1000 for k in range(1001)]
    expected = [min([a for a in levels if i in rejected(a)], default=1.0) for i in range(5)]
    assert holm(values) == pytest.approx(expected, abs=0.0011)
    assert holm([]) == []


def test_p_is_students():
    found = paired_difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert found.p == pytest.approx(0.0741799, rel=1e-5)  # t = 2 sqrt(3), 2 degrees of freedom


def _run(model, seed, value):
    curves = {"epoch": [1, 2], "test_metric": [0.0, value], "train_seconds": [1.0, 2.0]}
    return Result(
        recipe={"epochs": 2},
        values={"chosen": value},
        curves=curves,
        arm={"model": f"{model}@lr=1"},
        seed=seed,
    )


def test_the_table_corrects_over_all_models():
    noise = (0.0, 0.1, -0.1)
    runs = [_run("a", s, 1 + n) for s, n in enumerate(noise)]
    runs += [_run("b", s, 1.5 + n / 2) for s, n in enumerate(noise)]
    runs += [_run("c", s, 1.3 - s / 10 + n) for s, n in enumerate(noise)]  # p 0.074
    models = [f"{m}@lr=1" for m in "abc"]
    view = {"references": ["a"], "tuned": "lr", "tried": [1], "tuning_seeds": 2}
    found = tuned_table(_results(runs, {"model": models}, view=view, higher_is_better=True))
    assert [row[0] for row in found.rows] == ["a", "b", "c"]
    assert found.rows[0][4:] == ["reference", "", ""]
    raw = paired_difference([1.5, 1.55, 1.45], [1.0, 1.1, 0.9]).p
    assert found.rows[1][5:] == [f"{2 * raw:.2g}", "better"]
    assert found.rows[2][5:] == ["0.074", "not separable"]


def test_differences_from_several_references():
    level = {"a": 1.0, "b": 1.5, "c": 3.0}
    runs = [_run(m, s, of + s * i) for i, (m, of) in enumerate(level.items()) for s in range(3)]
    view = {"references": ["b", "a"], "tuned": "lr", "tried": [1], "tuning_seeds": 2}
    models = {"model": [f"{m}@lr=1" for m in "abc"]}
    head, rows, *_ = tuned_table(_results(runs, models, view=view, higher_is_better=True))
    columns = [i for i, name in enumerate(head) if name.startswith("difference")]
    named = [f"difference from {name} [95 % interval]" for name in ("b", "a")]
    assert [head[i] for i in columns] == named
    told = [[row[i].split()[0] for i in columns] for row in rows]
    assert told == [["-1.5000", "reference"], ["reference", "+1.5000"], ["+2.5000", "+4.0000"]]


def test_what_diverged_is_no_reference():
    runs = [_run("a", s, 1.0 + s) for s in range(3)]
    runs += [replace(_run("b", s, 0.0), values={}, failed="diverged") for s in range(3)]
    view = {"references": ["a"], "tuned": "lr", "tried": [1], "tuning_seeds": 2}
    models = {"model": ["a@lr=1", "b@lr=1"]}
    found = tuned_table(_results(runs, models, view=view, higher_is_better=True))
    assert found.rows[1][2:] == ["-", "diverged: 3 of 3", "-", "-"]


NAMES = [name for name in STUDIES if name.startswith("findings-")]
MORE = {  # arms besides those of every finding
    "findings-digits": 2,
    "findings-adding": 5,
    "findings-copying": 5,
    "findings-mnist": 5,
    "findings-speech": 6,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_runs_at_once(name, tmp_path):
    study = STUDIES.find(name)
    models = study.view["references"]
    fewer = replace(study, axes={"model": models}, tuning=Tuning("lr", [1e-3], 1))
    place = Place(tmp_path / "runs", tmp_path)
    kept = tuned(fewer, fewer.tuning, place, scale="smoke", quiet=True)
    found = run_study(kept, kept.plan("smoke"), place, tmp_path / "out", scale="smoke", quiet=True)
    assert len(table(found).rows) == len(models)


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_of_a_finding_gets_the_same_trials(name):
    study = STUDIES.find(name)
    assert len(study.tuning.values) == 4
    for scale in ("smoke", "desk"):
        runs = study.plan(scale, seeds=1)
        assert len(runs) == 12 + MORE.get(name, 0)
        assert len({(r.recipe.epochs, r.recipe.batch_size, r.recipe.task) for r in runs}) == 1
    rules = {r.arm["model"]: r.recipe.model_options.get("rule", {}) for r in runs}
    plain = {name: rule for name, rule in rules.items() if "forget_bias" not in name}
    gains = [rule["gain"] for name, rule in plain.items() if name.startswith("gain-")]
    momenta = [rule for name, rule in plain.items() if name.startswith("momentum-")]
    asked = [rule["step_size"] / (1 - rule["mu"]) for rule in momenta if rule["mu"]]
    assert sorted(gains) == pytest.approx(sorted(asked), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_scale_of_a_finding_has_something_to_tune_on(name):
    for run in STUDIES.find(name).plan("paper", seeds=1):
        assert run.recipe.task_options.get("held_out") != 0


@pytest.mark.parametrize(
    ("name", "bias"), [("adding", 2.0), ("copying", 2.0), ("mnist", 2.0), ("speech", -8.0)]
)
def test_the_forget_gate_of_equal_bias(name, bias):
    """What the gate begins with when nothing moves: the drive's half comes times the gain."""

    def begins(model, gain):
        settings = {"task": "pdigits", "init": "paper", "forget_bias": bias, "hidden_size": 4}
        recipe = training_recipe({**settings, "model": model, "scale": "smoke"}, 0)
        _, made = setup(recipe, Place("nowhere"))
        return (gain * made.layer.bias_ih_l0 + made.layer.bias_hh_l0)[4:8].mean().item()

    study = STUDIES.find(f"findings-{name}")
    models = study.axes["model"]
    (plain,) = [m for m in models if m.startswith("lstm@forget_bias")]
    gain, momentum = [m for m in models if "forget_bias" in m and m != plain]
    rule = task_of(study.settings["task"]).rule_options("momentum", {})
    own = rule["step_size"] / (1 - rule["mu"])
    assert begins(plain, 1.0) == pytest.approx(begins("momentum-lstm", own), rel=1e-3)
    for kept in (gain, momentum):
        assert begins(kept, 8.0) == pytest.approx(begins("lstm", 1.0), rel=1e-3)
        assert begins(kept.partition("@forget")[0], 8.0) == pytest.approx(4.5 * bias)


def test_mistakes_are_told_before_anything_is_trained(tmp_path, capsys):
    command = [
        "reproduce",
        "findings-digits",
        "--scale",
        "smoke",
        "--quiet",
        "--out",
        str(tmp_path),
    ]
    command += ["--runs", str(tmp_path / "runs"), "--seeds", "0"]
    assert main(command) == 2
    assert "seeds must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
