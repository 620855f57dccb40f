"""What a run is logged to: each record once, whatever was lost or written before a kill."""

import pytest

from torchmomentum.experiments.engine import log, training
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.log.sink import Sink
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import training_recipe

from ..stopping import Stop

SMALL = {"epochs": 4, "hidden_size": 4, "train_limit": 128, "test_limit": 64, "threads": 1}
KEPT: dict[str, list[tuple[str, int, float]]] = {}  # what the fake was told, by run
CLOSED = []


class Fake(Sink):
    """Keeps what it is told outside of the run's folder."""

    def __init__(self, recipe, folder):
        self.kept = KEPT.setdefault(recipe.key, [])

    def last_steps(self, names):
        return {name: step for name, step, _ in self.kept if name in names}

    def write(self, values, step):
        self.kept += [(name, step, value) for name, value in values.items()]

    def close(self, failed):
        CLOSED.append(failed)


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    KEPT.clear()
    CLOSED.clear()
    monkeypatch.setattr(log, "LOGS", {"fake": f"{__name__}:Fake"})


def _recipe(**changes):
    return training_recipe({"task": "pdigits", "model": "lstm", **SMALL, **changes}, 0)


def _place(folder):
    return Place(folder, logs=("fake",))


def _stopped_before_a_checkpoint(monkeypatch, place, step):
    """A run whose record of a step is written, and its checkpoint not."""
    save = training._save

    def stop(run, folder):
        if run.step == step:
            raise Stop
        save(run, folder)

    with monkeypatch.context() as patched:
        patched.setattr(training, "_save", stop)
        with pytest.raises(Stop):
            compute(_recipe(), place)
    return KEPT[_recipe().key]


def _check(result):
    for name, values in result.curves.items():
        found = [(step, value) for key, step, value in KEPT[_recipe().key] if key == name]
        if name == "train_seconds":
            assert [step for step, _ in found] == result.curves["step"]
        else:
            assert found == list(zip(result.curves["step"], values, strict=True))


def test_a_record_that_is_there_is_not_repeated(tmp_path, monkeypatch):
    kept = _stopped_before_a_checkpoint(monkeypatch, _place(tmp_path), 4)
    assert {step for _, step, _ in kept} == {2, 4}
    assert CLOSED == [True]
    _check(compute(_recipe(), _place(tmp_path)))
    assert CLOSED == [True, False]


@pytest.mark.parametrize("lost", [2, 4])
def test_a_record_that_was_lost_is_written_again(tmp_path, monkeypatch, lost):
    """A program's own thread was killed before it wrote what the checkpoint calls done."""
    kept = _stopped_before_a_checkpoint(monkeypatch, _place(tmp_path), 6)
    kept[:] = [each for each in kept if each[1] < lost]
    _check(compute(_recipe(), _place(tmp_path)))


def test_half_a_record_is_completed(tmp_path, monkeypatch):
    kept = _stopped_before_a_checkpoint(monkeypatch, _place(tmp_path), 4)
    kept[:] = kept[:-3]
    _check(compute(_recipe(), _place(tmp_path)))


def test_a_log_that_was_removed_is_whole_again(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _stopped_before_a_checkpoint(monkeypatch, Place(tmp_path, logs=("fake",)), 6)
    folder = folder_of(_recipe(), Place(tmp_path)) / "tensorboard"
    for path in folder.iterdir():
        path.unlink()
    result = compute(_recipe(), _place(tmp_path))
    found = EventAccumulator(str(folder))
    found.Reload()
    assert [event.step for event in found.Scalars("test_loss")] == result.curves["step"]


def test_where_a_run_is_logged_is_no_part_of_it(tmp_path):
    result = compute(_recipe(), Place(tmp_path))
    assert compute(_recipe(), _place(tmp_path)).to_dict() == result.to_dict()
    assert not KEPT


def test_one_process_writes(tmp_path):
    with log.Log(_recipe(), tmp_path, [{"step": 1, "x": 2.0}], ["fake"], writes=False) as silent:
        silent.write({"step": 2, "x": 3.0})
    assert not KEPT
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_is_closed_as_failed(tmp_path):
    found = compute(_recipe(model="momentum-rnn", optimizer="sgd", lr=1e38), _place(tmp_path))
    assert found.failed
    assert CLOSED == [True]


def test_an_unknown_log_and_a_missing_package_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "LOGS", {"no_such_package": ""})
    with pytest.raises(UsageError, match="no_such_package is missing: pip install no_such_package"):
        _recipe().check(Place(tmp_path, logs=("no_such_package",)))
    with pytest.raises(UsageError, match="unknown log 'no_such_packag'; did you mean no_such_pac"):
        _recipe().check(Place(tmp_path, logs=("no_such_packag",)))
