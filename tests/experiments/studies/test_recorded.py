"""What folders hold: studies, and runs done, under way and failed; damage is a line."""

import json
import os
import shutil

import pytest

from tests.experiments.report.test_tables import _comparison
from torchmomentum.experiments.engine.log.to_tensorboard import LOG, TensorBoard
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_json
from torchmomentum.experiments.recipe import key_of
from torchmomentum.experiments.report.html.runs import DONE, FAILED, UNDER_WAY
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.recorded import find, version


def recipe(model, seed=0):
    return {"kind": "Training", "task": "digits", "model": model, "init_seed": seed, "epochs": 3}


def log(folder, values, after=0):
    written = TensorBoard(recipe("going"), folder)
    for i, value in enumerate(values, after + 1):
        written.write({"epoch": i, "step": i, "test_metric": value, "train_loss": 2 * value}, i)
    written.close(failed=False)


@pytest.fixture
def runs(tmp_path):
    """A folder of runs: one done, one under way, one failed."""
    for name, result in (
        ("done", Result(recipe("done"), {"best": 1.0}, {"epoch": [1], "test_metric": [1.0]})),
        ("failed", Result(recipe("failed"), failed="training diverged")),
        ("going", None),
    ):
        write_json(tmp_path / name / "recipe.json", recipe(name))
        if result is not None:
            write_json(tmp_path / name / "result.json", result.to_dict())
    log(tmp_path / "going", [0.5, 0.25])
    return tmp_path


def test_runs_by_their_states(runs):
    found = {run.result.recipe["model"]: run for run in find([runs]).runs}
    assert {name: run.state for name, run in found.items()} == {
        "done": DONE,
        "failed": FAILED,
        "going": UNDER_WAY,
    }
    assert found["going"].result.curves == {
        "epoch": [1, 2],
        "step": [1.0, 2.0],
        "test_metric": [0.5, 0.25],
        "train_loss": [1.0, 0.5],
    }
    os.utime(runs / "done" / "result.json", (0, 0))
    os.utime(runs / "done" / "recipe.json", (0, 0))
    done = next(run for run in find([runs]).runs if run.state == DONE)
    assert done.written == "1970-01-01 00:00 UTC"


def test_the_files_of_several_attempts_are_one_log(runs):
    log(runs / "going", [0.125], after=2)  # another process went on
    found = next(run for run in find([runs]).runs if run.state == UNDER_WAY)
    assert found.result.curves["epoch"] == [1, 2, 3]
    assert found.result.curves["test_metric"] == [0.5, 0.25, 0.125]


def test_a_run_of_a_study_is_not_told_again(runs):
    study = _comparison()
    study.runs[0].recipe = recipe("done")
    write_json(runs / "study" / "results.json", study.to_dict())
    found = find([runs])
    assert [name for name, _ in found.studies] == [str(runs / "study" / "results.json")]
    assert {run.result.recipe["model"] for run in found.runs} == {"going", "failed"}


def test_the_trials_of_a_search_are_no_runs_of_their_own(runs):
    """Whole ones, and those that were ended early."""
    study, going = _comparison(), recipe("going")
    study.view["trial_runs"] = [f"digits-{key_of(going)}", f"digits-{key_of(recipe('done'))}"]
    write_json(runs / "study" / "results.json", study.to_dict())
    assert {run.result.recipe["model"] for run in find([runs]).runs} == {"failed"}


def test_a_path_inside_another_is_read_once(runs):
    write_json(runs / "study" / "results.json", _comparison().to_dict())
    found = find([runs, runs / "study", runs / "study" / "results.json", runs / "going"])
    assert len(found.studies) == 1
    assert len(found.runs) == 3


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("done/result.json", "{", "is not valid JSON"),
        ("going/recipe.json", "[]", "is not a recipe"),
        ("old/results.json", '{"schema": 0}', "is not a torchmomentum results file (schema 1)"),
        ("done/result.json", '{"schema": 1}', "holds results of another form"),
    ],
)
def test_damage_is_a_line_that_names_the_file(runs, file, content, told):
    (runs / file).parent.mkdir(exist_ok=True)
    (runs / file).write_text(content)
    found = find([runs])
    (line,) = found.damaged
    assert told in line
    assert str(runs / file) in line
    assert len(found.runs) == (3 if file.startswith("old") else 2)


def test_damage_that_is_asked_for_is_an_error(tmp_path):
    write_json(tmp_path / "results.json", {**_comparison().to_dict(), "schema": 0})
    for path in (tmp_path, tmp_path / "results.json"):
        with pytest.raises(UsageError, match="schema 1"):
            find([path])
        assert len(find([path], strict=False).damaged) == 1
    with pytest.raises(UsageError, match="does not exist"):
        find([tmp_path / "nothing"])


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(runs):
    (events,) = (runs / "going" / LOG).iterdir()
    events.write_bytes(events.read_bytes()[:-5])
    found = next(run for run in find([runs]).runs if run.state == UNDER_WAY)
    assert found.result.curves["test_metric"] == [0.5]
    events.write_bytes(b"\xff" * 100)
    assert next(r for r in find([runs]).runs if r.state == UNDER_WAY).result.curves == {}


def test_the_version_changes_with_what_is_read(runs):
    seen = [version([runs])]
    log(runs / "going", [0.1], after=2)
    seen.append(version([runs]))
    write_json(runs / "going" / "result.json", Result(recipe("going")).to_dict())
    seen.append(version([runs]))
    write_json(runs / "new" / "recipe.json", recipe("new"))
    seen.append(version([runs]))
    write_json(runs / "results.json", json.loads("{}"))
    seen.append(version([runs]))
    shutil.rmtree(runs / "new")
    seen.append(version([runs]))
    assert len(set(seen)) == len(seen)
    (runs / "going" / "step-000000001.ckpt").write_text("x")  # is not shown
    assert version([runs]) == seen[-1]
