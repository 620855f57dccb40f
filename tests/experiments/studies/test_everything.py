"""All studies in one command: one pool, every folder, what cannot be computed told."""

from dataclasses import replace

import pytest

from torchmomentum.experiments.cli import main
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import STUDIES, Registry
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies import everything
from torchmomentum.experiments.studies.everything import plan_all, run_all
from torchmomentum.experiments.studies.run import load_results, run_study
from torchmomentum.experiments.studies.tuning import Tuning
from torchmomentum.experiments.tasks.speech import SyntheticSpeech

THREADS = {"threads": 1}


@pytest.fixture
def few(monkeypatch):
    """A table, a measurement, a tuned study and one whose data is missing."""
    digits = STUDIES.find("findings-digits")
    models = {"model": digits.axes["model"][:2]}
    tuned = replace(digits, axes=models, tuning=Tuning("lr", [1e-3, 1e-2], 1))
    names = ("table14", "table5", "imagenet")
    found = {**{name: STUDIES.find(name) for name in names}, "findings-digits": tuned}
    monkeypatch.setattr(everything, "STUDIES", Registry("study", found))
    return found


def test_all_that_can_be_computed_is(few, tmp_path):
    place, out, told = Place(tmp_path / "runs", tmp_path), tmp_path / "out", []
    planned, left = plan_all("smoke", None, THREADS, place)
    assert [*left] == ["imagenet"]
    assert "ImageNet is not in" in left["imagenet"]
    found = run_all(planned, place, out, quiet=True, tell=lambda *each: told.append(each))
    assert told == [(name, None) for name in ("table14", "table5", "findings-digits")]
    for results in found:
        assert isinstance(results, Results)
        assert load_results(out / results.study).runs == results.runs
        assert (out / results.study / "table.md").is_file()
    tuned = found[-1]
    assert tuned.seeds == [0, 1]
    assert all("@lr=" in run.arm["model"] for run in tuned.runs)
    alone = few["table5"].plan("smoke", changes=THREADS)
    again = run_study(few["table5"], alone, place, tmp_path / "alone", scale="smoke", quiet=True)
    assert [run.values for run in again.runs] == [run.values for run in found[1].runs]
    with pytest.raises(UsageError, match="holds results already; give --resume"):
        run_all(planned, place, out, quiet=True)
    whole = run_all(planned, place, out, quiet=True, resume=True)
    assert [len(each.runs) for each in whole] == [len(each.runs) for each in found]


def test_one_study_that_fails_leaves_the_others(few, tmp_path, monkeypatch):
    place, told = Place(tmp_path / "runs", tmp_path), {}
    planned, _ = plan_all("smoke", None, THREADS, place)

    def fail(self, *args, **kwargs):
        raise UsageError("could not download it")

    monkeypatch.setattr(SyntheticSpeech, "_sentences", fail)
    found = run_all(planned, place, tmp_path / "out", quiet=True, tell=told.__setitem__)
    assert [each.study for each in found] == ["table14", "findings-digits"]
    assert told == {"table14": None, "table5": "could not download it", "findings-digits": None}


def test_results_that_are_there_are_not_written_over(few, tmp_path):
    place, out = Place(tmp_path / "runs", tmp_path), tmp_path / "out"
    planned, _ = plan_all("smoke", None, THREADS, place)
    only = [each for each in planned if each.study.name == "findings-digits"]
    run_all(only, place, out, quiet=True)
    with pytest.raises(UsageError, match="findings-digits holds results already; give --resume"):
        run_all(only, place, out, quiet=True)
    (other,) = (
        e for e in plan_all("desk", None, THREADS, place)[0] if e.study.name == only[0][0].name
    )
    with pytest.raises(UsageError, match="findings-digits holds results of"):
        run_all([other], place, out, quiet=True, resume=True)


def test_each_study_of_all_has_the_scale_asked_for_or_its_own(tmp_path):
    for asked, scale in {"smoke": "smoke", "desk": "paper", "paper": "paper"}.items():
        planned, _ = plan_all(asked, 1, {}, Place(tmp_path / "runs", tmp_path, offline=True))
        slides = [each for each in planned if each.study.name.startswith("slides-")]
        assert len(slides) == 8
        assert {each.scale for each in slides} == {scale}


@pytest.mark.parametrize(
    ("scale", "seeds", "message"),
    [("dsek", None, "unknown scale 'dsek'"), ("smoke", 0, "seeds must be at least 1, got 0")],
)
def test_a_mistake_is_not_taken_for_missing_data(scale, seeds, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        plan_all(scale, seeds, THREADS, Place(tmp_path, tmp_path))


def test_a_measurement_has_the_machine_for_itself(few, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(
        everything, "compute_all", lambda recipes, *_, jobs=1, **__: called.append((recipes, jobs))
    )
    runs = [run for name in ("table14", "table5") for run in few[name].plan("smoke")]
    everything._compute(runs, Place(tmp_path), 2, True)
    (others, jobs), (measured, one) = called
    assert (jobs, one) == (2, 1)
    assert len(measured) == 1
    assert len(others) == len(runs) - 1


def test_what_is_not_of_all_studies_is_named(capsys):
    assert main(["reproduce", "all", "--lr", "0.1"]) == 2
    assert "all has no lr; it has: threads, device, precision" in capsys.readouterr().err


def test_from_the_command_line(few, tmp_path, capsys, monkeypatch):
    command = ["reproduce", "all", "--scale", "smoke", "--jobs", "1", "--threads", "1", "--quiet"]
    command += ["--data-dir", str(tmp_path), "--runs", str(tmp_path / "runs")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "imagenet is left out: ImageNet is not in" in told
    assert f"table5: written to {tmp_path / 'out' / 'table5'}" in told
