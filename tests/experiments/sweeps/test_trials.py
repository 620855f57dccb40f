"""Trials are proposed once, computed once, gone on with where a worker died, whoever takes part."""

import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import BrokenExecutor
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.run import load_results
from torchmomentum.experiments.studies.sweep import study_of, sweep_of
from torchmomentum.experiments.sweeps import trials as module
from torchmomentum.experiments.sweeps.proposals import suggested
from torchmomentum.experiments.sweeps.run import best_of, run_sweeps
from torchmomentum.experiments.sweeps.space import parse
from torchmomentum.experiments.sweeps.storage import opened
from torchmomentum.experiments.sweeps.trials import Trial, work
from torchmomentum.experiments.tasks import task_of

SETTINGS = {
    "task": "pdigits",
    "model": "momentum-lstm",
    "scale": "smoke",
    "threads": 1,
    "hidden_size": 8,
    "train_limit": 256,
    "epochs": 2,
}


class Heard:
    """Bars that remember."""

    def __init__(self):
        self.finished = []

    def update(self, run, words, step, steps):
        pass

    def finish(self, run, words):
        self.finished.append((run, words))


def _sweep(trials=4, **changes):
    return sweep_of(SETTINGS, parse(["lr=1e-3:1e-1:log", "mu=0:0.9"]), trials=trials, **changes)


def _run(sweep, folder, **changes):
    folder.mkdir(exist_ok=True)
    place = Place(folder / "runs")
    return run_sweeps([sweep], place, str(folder / "journal"), quiet=True, **changes)[0]


def test_the_recipe_is_tried_first_and_the_rest_depends_on_the_seed_alone(tmp_path):
    first, again = (_run(_sweep(), tmp_path / name) for name in "ab")
    assert [(t.number, t.values, t.score) for t in first] == [
        (t.number, t.values, t.score) for t in again
    ]
    assert first[0].values == {"lr": 1e-3, "mu": 0.6}
    assert len({str(trial.values) for trial in first}) == 4
    for trial in first:
        assert 1e-3 <= trial.values["lr"] <= 1e-1
        assert 0 <= trial.values["mu"] <= 0.9


def test_a_score_is_the_mean_over_the_seeds(tmp_path):
    (trial,) = _run(_sweep(1, seeds=2), tmp_path)
    found = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/result.json")]
    assert sorted(each["recipe"]["init_seed"] for each in found) == [0, 1]
    scores = [each["values"]["chosen_validation"] for each in found]
    assert trial.score == pytest.approx(sum(scores) / 2)


def test_more_trials_go_on_from_those_there_are(tmp_path):
    few = _run(_sweep(2), tmp_path)
    many = _run(_sweep(4), tmp_path)
    assert many[:2] == few
    assert len(many) == 4


def test_another_space_is_another_search():
    other = sweep_of(SETTINGS, parse(["lr=1e-3:1e-2:log", "mu=0:0.9"]), trials=4)
    assert other.title != _sweep().title
    assert _sweep(9).title == _sweep().title
    turned = sweep_of(SETTINGS, parse(["mu=0:0.9", "lr=1e-3:1e-1:log"]), trials=4)
    assert turned.title == _sweep().title


def test_a_trial_that_ends_while_another_looks_is_not_taken_up(tmp_path, monkeypatch):
    """Between the look at all trials and the lock of one, its worker tells its end."""
    sweep, place = _sweep(1), Place(tmp_path / "runs")
    with opened(str(tmp_path / "journal")) as storage:
        study = module._study(sweep, storage)
        trial, lock = module._take(sweep, study, module._folder(sweep, place))
        look = module._proposed

        def late(study):
            found = look(study)
            if lock.is_locked:
                study.tell(trial.number, 0.5)
                lock.release()
            return found

        monkeypatch.setattr(module, "_proposed", late)
        assert module._take(sweep, study, module._folder(sweep, place)) is None


def test_trials_that_others_ended_are_not_waited_for(tmp_path):
    sweep, place, journal = _sweep(2), Place(tmp_path / "runs"), str(tmp_path / "journal")
    with opened(journal) as storage:
        study = module._study(sweep, storage)
        for _ in range(2):
            study.tell(study.ask(), state=TrialState.FAIL)
    assert run_sweeps([sweep], place, journal, quiet=True) == [[]]
    with pytest.raises(UsageError, match="no trial of the search was computed"):
        best_of([], higher_is_better=True)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("mu=0.1,1.5", r"mu must be in \[0, 1\), got 1.5"),
        ("mu=0.1:2.0", r"mu must be in \[0, 1\), got 2.0"),
        ("lr=0.1,abc", "lr must be a number, got 'abc'"),
        ("optimizer=sgd,foo", "unknown optimizer 'foo'"),
    ],
)
def test_what_no_training_can_have_is_told_before_any(space, message, tmp_path):
    sweep = sweep_of(SETTINGS, parse([space]), trials=2)
    with pytest.raises(UsageError, match=message):
        _run(sweep, tmp_path)
    assert not [*tmp_path.glob("runs/*/recipe.json")]


def test_a_search_needs_samples_to_judge_by(tmp_path, monkeypatch):
    kind = type(task_of("pdigits"))
    load = kind.load

    def without(self, *given, **options):
        return replace(load(self, *given, **options), validation=[])

    monkeypatch.setattr(kind, "load", without)
    with pytest.raises(UsageError, match="this task holds none out"):
        _run(_sweep(), tmp_path)
    assert not [*tmp_path.glob("runs/*/recipe.json")]


def test_combinations_that_no_training_has_are_told_before_any(tmp_path):
    """Each value alone is one that a training has."""
    settings = {**SETTINGS, "model": "lstm", "optimizer": "sgd"}
    space = parse(["optimizer=sgd,adam", "momentum=0.0,0.9"])
    with pytest.raises(UsageError, match="lstm has no momentum"):
        _run(sweep_of(settings, space, trials=None, sampler="grid"), tmp_path)
    assert not list(tmp_path.glob("runs/*/recipe.json"))


def test_a_trial_that_cannot_run_is_named_and_not_taken_up_again(tmp_path):
    settings = {**SETTINGS, "model": "lstm", "optimizer": "sgd"}
    sweep = sweep_of(settings, parse(["optimizer=sgd,adam", "momentum=0.0,0.9"]), trials=6)
    told = []
    for _ in range(6):
        try:
            found = _run(sweep, tmp_path)
            break
        except UsageError as error:
            told.append(str(error))
    assert told
    assert all("optimizer=adam" in each and "has no momentum" in each for each in told)
    assert len({each.split(",")[0] for each in told}) == len(told)  # each of another trial
    assert sum(not trial.is_whole for trial in found) == len(told)
    study = study_of(sweep, found)
    assert all(arm["optimizer"] == "sgd" for arm in study.arms)


def test_a_trial_whose_process_died_amid_its_values_has_the_same(tmp_path):
    space = parse(["lr=1e-4:1e-1:log", "mu=0:0.99"])
    with opened(str(tmp_path / "journal")) as storage:
        study = optuna.create_study(storage=storage)
        whole = suggested(space, study.ask(), "random")
        study = optuna.create_study(storage=storage)
        first = study.ask()
        assert suggested({"lr": space["lr"]}, first, "random") == {"lr": whole["lr"]}
        again = optuna.trial.Trial(study, first._trial_id)
        assert suggested(space, again, "random") == whole


def test_neighbouring_trials_are_unlike(tmp_path):
    found = [trial.values["mu"] for trial in _run(_sweep(5), tmp_path)][1:]
    assert max(found) - min(found) > 0.3


@pytest.mark.parametrize(("task", "way"), [("pdigits", "MAXIMIZE"), ("adding", "MINIMIZE")])
def test_proposals_go_where_the_metric_improves(task, way, tmp_path):
    settings = {"task": task, "model": "lstm", "scale": "smoke", "threads": 1}
    sweep = sweep_of(settings, parse(["lr=1e-3:1e-1:log"]), trials=2)
    with opened(str(tmp_path / "journal")) as storage:
        assert module._study(sweep, storage).direction.name == way


def test_a_trial_whose_worker_died_is_gone_on_with(tmp_path):
    sweep, place = _sweep(3), Place(tmp_path / "runs")
    with opened(str(tmp_path / "journal")) as storage:
        study = module._study(sweep, storage)
    taken = [module._take(sweep, study, module._folder(sweep, place)) for _ in range(2)]
    assert [trial.number for trial, _ in taken] == [0, 1]
    taken[1][1].release()  # as the system does when a process dies
    found = module._take(sweep, study, module._folder(sweep, place))
    assert found[0].number == 1
    third = module._take(sweep, study, module._folder(sweep, place))
    assert third[0].number == 2
    assert module._take(sweep, study, module._folder(sweep, place)) is None
    for _, lock in (taken[0], found, third):
        lock.release()
    assert _run(sweep, tmp_path) == _run(sweep, tmp_path / "undisturbed")


def _work(folder, trials):
    work([_sweep(trials, sampler="random")], Place(folder / "runs"), str(folder / "j"), Heard())


def _spawn(folder, trials):
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(folder, trials))
    process.start()
    return process


def test_two_workers_share_the_trials_though_one_is_killed(tmp_path):
    """The values that are tried do not depend on who tries them: they are drawn by number."""
    doomed, other = _spawn(tmp_path, 4), _spawn(tmp_path, 4)
    runs, until = tmp_path / "runs", time.monotonic() + 60
    while not [*runs.glob("*/result.json")] and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(doomed.pid, signal.SIGKILL)
    other.join(150)  # half a minute of them if Optuna's own lock was held
    doomed.join(60)
    assert (other.exitcode, doomed.exitcode) == (0, -signal.SIGKILL)
    place, sweep = Place(runs), _sweep(4, sampler="random")
    (found,) = run_sweeps([sweep], place, str(tmp_path / "j"), quiet=True)
    assert found == _run(sweep, tmp_path / "alone")
    begun = [len([*run.glob("tensorboard/*")]) for run in runs.glob("pdigits-*")]
    assert len(begun) == 4
    assert sorted(begun)[:3] == [1] * 3  # only the killed one's run was begun twice


def test_workers_are_started_again_as_long_as_trials_end(tmp_path, monkeypatch):
    sweep, place, journal = _sweep(3), Place(tmp_path / "runs"), str(tmp_path / "journal")
    ends = [1, 2, 2]  # trials until the workers die

    def broken(function, calls, jobs, bars, done):
        function([replace(sweep, trials=ends.pop(0))], place, journal, bars)
        raise BrokenExecutor("a worker died")

    monkeypatch.setattr("torchmomentum.experiments.sweeps.run.side_by_side", broken)
    with pytest.raises(BrokenExecutor):
        run_sweeps([sweep], place, journal, jobs=2, quiet=True)
    assert ends == []
    with opened(journal) as storage:
        assert len(module._ended(module._study(sweep, storage), sweep)) == 2


def test_what_is_behind_is_pruned_and_may_go_on_later(tmp_path, monkeypatch):
    """The fifth trial is ended after its first epoch by a median of four that are better."""
    sweep = sweep_of(
        {**SETTINGS, "epochs": 3},
        parse(["lr=0.03,0.02,0.01,0.005,1e-6"]),
        trials=None,
        sampler="grid",
        prune=True,
    )
    reported = []

    def recorded(self, record):
        reported.append((record["epoch"], self._trial.number))
        original(self, record)

    original = module._Watched.recorded
    monkeypatch.setattr(module._Watched, "recorded", recorded)
    monkeypatch.setattr("optuna.pruners.MedianPruner.prune", lambda self, s, t: t.number == 4)
    found = _run(sweep, tmp_path)
    assert [trial.said for trial in found] == [""] * 4 + ["pruned after epoch 1"]
    assert found[4].score is None
    assert [epoch for epoch, number in reported if number == 4] == [1]
    whole = sweep.recipes({"lr": 1e-6})[0]
    folder = tmp_path / "runs" / whole.folder
    assert [*folder.glob("step-*.ckpt")]
    assert not (folder / "result.json").exists()
    with opened(str(tmp_path / "journal")) as storage:  # what the pruner judges by
        told = [trial.intermediate_values for trial in module._study(sweep, storage).trials]
    assert [*told[4]] == [1]
    for trial, values in zip(found[:4], told[:4], strict=True):
        (run,) = trial.runs
        curves = json.loads((tmp_path / "runs" / run / "result.json").read_text())["curves"]
        assert values == dict(zip(curves["epoch"], curves["validation_metric"], strict=True))


def test_what_diverges_counts_as_a_trial_without_a_score(tmp_path):
    sweep = sweep_of(
        {"task": "adding", "model": "lstm", "scale": "smoke", "threads": 1, "length": 10},
        parse(["lr=1e-3,1e30"]),
        trials=None,
        sampler="grid",
    )
    found = _run(sweep, tmp_path)
    assert found[0].score is not None
    assert found[1].score is None
    assert "diverged" in found[1].said
    assert best_of(found, higher_is_better=False).values == {"lr": 1e-3}


def test_the_best_of_trials():
    trials = [
        Trial(0, {}, None, "diverged"),
        Trial(1, {}, 0.3),
        Trial(2, {}, 0.5),
        Trial(3, {}, 0.5),
    ]
    assert best_of(trials, higher_is_better=True).number == 2
    assert best_of(trials, higher_is_better=False).number == 1
    assert best_of(trials[:1], higher_is_better=True).number == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"trials": None}, "trials must be given, except for a grid"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"sampler": "tpes"}, "unknown sampler 'tpes'; did you mean tpe"),
        ({"sampler": "grid"}, "a grid needs values of lr"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(UsageError, match=message):
        _sweep(**{"trials": 2, **changes})


def test_a_grid_has_its_own_number_of_trials():
    with pytest.raises(UsageError, match="a grid tries all its 2 combinations"):
        sweep_of(SETTINGS, parse(["lr=0.1,0.2"]), trials=3, sampler="grid")


def test_a_setting_that_the_training_has_not_is_named():
    with pytest.raises(UsageError, match="a training of momentum-lstm has no beta"):
        sweep_of(SETTINGS, parse(["beta=0.1,0.2"]), trials=2)


def test_a_sweep_that_was_rejected_leaves_nothing(tmp_path, capsys):
    command = ["sweep", "pdigits", "--model", "lstm", "--scale", "smoke", "--hidden-size", "4"]
    command += ["--quiet", "--jobs", "1", "--sampler", "grid", "--out", str(tmp_path / "out")]
    assert main([*command, "--space", "clip=x"]) == 2
    assert "clip must be a number, got 'x'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main([*command, "--space", "clip=none,1.0"]) == 0
    assert [run.recipe["clip"] for run in load_results(tmp_path / "out").runs] == [None, 1.0]


def test_a_sweep_from_the_command_line_is_a_study(tmp_path, capsys):
    command = ["sweep", "pdigits", "--model", "momentum-lstm", "--scale", "smoke", "--quiet"]
    command += ["--hidden-size", "8", "--jobs", "1", "--out", str(tmp_path / "out")]
    command += ["--sampler", "grid", "--space", "mu=0.0,0.6", "--space", "step_size=0.5,2.0"]
    assert main(command) == 0
    results = load_results(tmp_path / "out")
    assert results.axes == {"mu": [0.0, 0.6], "step_size": [0.5, 2.0]}
    assert len(results.runs) == 4
    assert (tmp_path / "out" / "landscape.svg").exists()
    assert main(command) == 2
    assert "give --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert main([*command[:-4], "--space", "lr=0.1,0.2", "--resume"]) == 2
    assert "holds results of another search" in capsys.readouterr().err
    (tmp_path / "file").touch()
    command[command.index("--out") + 1] = str(tmp_path / "file")
    assert main(command) == 2
    assert "file is a file; give another --out" in capsys.readouterr().err
