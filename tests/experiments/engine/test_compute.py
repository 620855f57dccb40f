"""The folder of runs: keyed by recipe, shared by studies and by processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from filelock import FileLock

from torchmomentum.experiments import recipe
from torchmomentum.experiments.engine.compute import (
    Busy,
    begun,
    compute,
    finished,
    folder_of,
    forget,
)
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all, told_of
from torchmomentum.experiments.engine.progress import RunsProgress
from torchmomentum.experiments.engine.provenance import _git, provenance
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Recipe, Training
from torchmomentum.experiments.result import Result

from ..stopping import in_group


@dataclass(frozen=True)
class Double(Recipe):
    """Doubles a number."""

    computation: ClassVar[str] = f"{__name__}:double"
    x: float
    ys: tuple[int, ...] = ()


COUNT = []


def double(recipe, place, tell):
    COUNT.append(recipe.x)
    tell("half", 1, 2)
    return Result(recipe={}, values={"twice": 2.0 * recipe.x})


@pytest.fixture(autouse=True)
def _nothing_counted():
    COUNT.clear()


def test_equal_recipes_are_one_run(tmp_path):
    recipes = [Double(1.0, (1, 2)), Double(2.0), Double(1.0, (1, 2))]
    results = compute_all(recipes, Place(tmp_path), quiet=True)
    assert COUNT == [1.0, 2.0]
    assert [results[recipe.key].values["twice"] for recipe in recipes] == [2.0, 4.0, 2.0]
    compute_all(recipes, Place(tmp_path), quiet=True)  # another study in the same folder
    assert COUNT == [1.0, 2.0]
    held = json.loads((folder_of(recipes[0], Place(tmp_path)) / "result.json").read_text())
    assert held["recipe"] == {"kind": "Double", "x": 1.0, "ys": [1, 2]}
    assert held["provenance"]["torch"]


def test_every_field_is_part_of_the_key():
    recipe = Training("pdigits", "lstm", "adam")
    changed = {
        "task": "digits",
        "model": "gru",
        "optimizer": "sgd",
        "batch_size": 33,
        "epochs": 2,
        "clip": 1.0,
        "evaluate_every": 2,
        "order_seed": 1,
        "init_seed": 1,
        "device": "cuda",
        "devices": 2,
        "precision": "bfloat16",
        "compile": True,
        "threads": 2,
        **{f"{part}_options": {"a": 1} for part in ("task", "model", "optimizer")},
        "schedule": {"gamma": 0.1},
        "sources": {"a.py:B": "0"},
        "on_nonfinite": "skip",
        "nodes": 2,
        "strategy": "fsdp2",
        "accumulate": 2,
    }
    assert set(changed) == {field.name for field in fields(recipe)}
    keys = {replace(recipe, **{name: value}).key for name, value in changed.items()}
    assert len(keys | {recipe.key}) == len(changed) + 1


def _recorded(kind):
    for path in sorted(_root().glob("results/*/results.json")):
        runs = json.loads(path.read_text())["runs"]
        yield from (run["recipe"] for run in runs if run["recipe"].get("kind") == kind)


def test_recorded_runs_are_found():
    """Fields that came later are left out of a recipe that does not set them."""
    recorded = list(_recorded("Training"))
    assert recorded
    for values in recorded:
        given = {name: value for name, value in values.items() if name != "kind"}
        assert Training(**given).to_dict() == values
    assert Training(**given, on_nonfinite="skip").to_dict() == values | {"on_nonfinite": "skip"}


def test_the_key_is_the_same_in_every_process():
    """It is a file's name: no order of a dictionary and no process's own hash may enter it."""
    code = (
        "from torchmomentum.experiments.recipe import Training; "
        "print(Training('a', 'b', 'c', task_options={'x': 1, 'y': 2}).key)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == Training("a", "b", "c", task_options={"y": 2, "x": 1}).key


def test_a_run_that_another_process_computes_is_left_to_it(tmp_path):
    recipe, place = Double(3.0), Place(tmp_path)
    folder = folder_of(recipe, place)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"), pytest.raises(Busy):
        compute(recipe, place)
    assert COUNT == []
    assert compute(recipe, place).values["twice"] == 6.0


def test_a_run_says_what_it_is_before_it_is_computed(tmp_path, monkeypatch):
    """So that a stopped one is known; one that could not begin leaves nothing."""
    place, recipe = Place(tmp_path), Double(4.0)
    file = folder_of(recipe, place) / "recipe.json"
    seen = []

    def look(recipe, place, tell):
        seen.append(json.loads(file.read_text()))
        if len(seen) == 1:
            raise UsageError("no data")
        return Result(recipe={}, values={})

    monkeypatch.setitem(globals(), "double", look)
    with pytest.raises(UsageError, match="no data"):
        compute(recipe, place)
    assert not begun(recipe, place)
    compute(recipe, place)
    assert seen == [recipe.to_dict()] * 2
    assert begun(recipe, place)
    forget(recipe, place)
    assert finished(recipe, place) is None


def test_jobs_wait_for_a_run_that_another_process_computes(tmp_path):
    recipes, place = [Double(1.0), Double(2.0)], Place(tmp_path)
    folder = folder_of(recipes[0], place)
    folder.mkdir(parents=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    lock.acquire()
    threading.Timer(2.0, lock.release).start()
    results = compute_all(recipes, place, jobs=2, quiet=True)
    assert [results[recipe.key].values["twice"] for recipe in recipes] == [2.0, 4.0]


def test_progress_of_each_run_is_shown(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(RunsProgress, "update", lambda self, *news: told.append(news))
    recipe = Double(3.0)
    compute_all([recipe], Place(tmp_path), quiet=True)
    assert told == [(recipe.folder, "half", 1, 2)]


def test_a_finished_run_in_words():
    result = Result(
        recipe={},
        values={"best": 0.91234, "n": 3, "last": 0.9, "chosen": 0.85, "more": 1.0},
        costs={"train_seconds": 12.4},
        warning="exploded",
    )
    assert told_of(result) == "best 0.9123, last 0.9, chosen 0.85, trained 12 s, exploded"
    assert told_of(Result(recipe={}, failed="diverged")) == "diverged"
    assert told_of(Result(recipe={})) == "done"


def test_provenance_names_the_machine_and_the_commit():
    found = provenance(["a", "b"])
    assert found["command"] == "a b"
    models = (
        [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        if Path("/proc/cpuinfo").exists()
        else [found["cpu"]]
    )
    assert found["cpu"] in models
    assert found["threads"] == torch.get_num_threads()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    ).stdout.strip()
    checkout = Path(__file__).parents[3] in Path(recipe.__file__).parents  # else it is installed
    assert found["commit"] == ((head or None) if checkout else None)


def test_what_git_says_is_read():
    assert _git("--version").startswith("git version")
    assert _git("no-such-command") is None


def test_two_processes_share_the_work(tmp_path):
    """Neither repeats what the other did, and both have all results."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(_root())!r}); from pathlib import Path\n"
        "from tests.experiments.engine import test_compute as t\n"
        "quick = t.double\n"
        "def slow(*args): time.sleep(0.2); return quick(*args)\n"
        "t.double = slow\n"
        f"place = t.Place(Path({str(tmp_path)!r}))\n"
        "found = t.compute_all([t.Double(float(x)) for x in range(6)], place, quiet=True)\n"
        "print(len(t.COUNT), sorted(r.values['twice'] for r in found.values()))\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=_root()
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[0].strip() for process in both]
    counts = [int(line.split()[0]) for line in told]
    assert sum(counts) == 6
    assert {line.split(maxsplit=1)[1] for line in told} == {"[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]"}


def _root():
    from pathlib import Path

    return Path(__file__).parents[3]


def test_jobs_run_side_by_side(tmp_path):
    recipes = [Double(float(x)) for x in range(3)]
    results = compute_all(recipes, Place(tmp_path), jobs=2, quiet=True)
    assert COUNT == []  # not here
    assert [results[r.key].values["twice"] for r in recipes] == [0.0, 2.0, 4.0]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="runs is a file; give another folder"):
        compute(Double(1.0), Place(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("{}", "is not a torchmomentum"),
        ("[]", "is not a torchmomentum"),
    ],
)
def test_a_damaged_result_is_named(tmp_path, text, message):
    recipe, place = Double(1.0), Place(tmp_path)
    compute(recipe, place)
    (folder_of(recipe, place) / "result.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        finished(recipe, place)


def test_progress_counts_what_is_under_way():
    bars = RunsProgress(5, 2, quiet=True)
    task = bars._bars.tasks[0]
    assert (task.total, task.completed) == (3, 0)
    bars.update("a-0", "", 1, 4)
    bars.update("b-0", "", 1, 2)
    assert task.completed == pytest.approx(0.75)
    bars.finish("a-0", "done")
    assert task.completed == pytest.approx(1.5)
    assert task.fields["count"] == "3/5"


def test_progress_is_on_the_error_stream(capsys):
    """So that a table can be piped; and the runs that ended stay to be read."""
    with RunsProgress(1) as bars:
        bars.update("task-model-seed-0-abc", "accuracy 0.5", 1, 2)
        bars.finish("task-model-seed-0-abc", "accuracy 0.9")
    told = capsys.readouterr()
    assert told.out == ""
    assert "task-model-seed-0: accuracy 0.9" in told.err
    assert "1/1" in told.err
    with RunsProgress(1, quiet=True) as bars:
        bars.finish("a-b", "x")
    assert capsys.readouterr().err == ""


@dataclass(frozen=True)
class Patient(Recipe):
    """One run fails at once, the others wait."""

    computation: ClassVar[str] = f"{__name__}:wait"
    seconds: float


def wait(recipe, place, tell):
    if not recipe.seconds:
        raise RuntimeError("at once")
    time.sleep(recipe.seconds)
    return Result(recipe={}, values={})


def test_a_run_that_fails_ends_the_others(tmp_path):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="at once"):
        compute_all([Patient(300.0), Patient(0.0)], Place(tmp_path), jobs=2, quiet=True)
    # the pool's own thread reaps them too: for a moment neither thread knows that one has ended
    while multiprocessing.active_children() and time.monotonic() - began < 100:
        time.sleep(0.1)
    assert not multiprocessing.active_children()


def test_no_process_outlives_a_command_that_was_killed(tmp_path):
    command = [
        *(sys.executable, "-m", "torchmomentum", "compare", "adding", "--models", "lstm,gru"),
        *("--jobs", "2", "--epochs", "4000", "--quiet", "--threads", "1", "--out", str(tmp_path)),
        *("--length", "10", "--checkpoint-every", "7"),
    ]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/adding*/step*.ckpt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(in_group(process.pid)) > 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = in_group(process.pid)
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    assert not left
