"""What others hear of a run, and what its clock does not count."""

import pytest

from torchmomentum.experiments.engine import training
from torchmomentum.experiments.engine.compute import compute
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.studies.training import training_recipe

from ..stopping import Stop

SMALL = {"epochs": 2, "hidden_size": 8, "train_limit": 256, "test_limit": 64, "threads": 1}


def _recipe(model="momentum-lstm", **changes):
    return training_recipe({"task": "pdigits", "model": model, **SMALL, **changes}, 0)


class _Heard(Tell):
    """Remembers the epochs; stops at one, as a process that dies before others hear of it."""

    def __init__(self, stop=None):
        super().__init__()
        self.epochs, self._stop = [], stop

    def recorded(self, record):
        if record["epoch"] == self._stop:
            raise Stop
        self.epochs.append(record["epoch"])


def test_an_epoch_that_nobody_heard_of_is_told_when_the_run_goes_on(tmp_path):
    recipe, place = _recipe(epochs=3), Place(tmp_path)
    with pytest.raises(Stop):
        compute(recipe, place, _Heard(stop=2))
    heard = _Heard()
    compute(recipe, place, heard)
    assert heard.epochs == [2, 3]


@pytest.mark.parametrize(("model", "builds"), [("momentum-lstm", 1), ("lstm", 0)])
def test_kernels_are_built_before_the_clock_starts_where_there_are_some(
    model, builds, tmp_path, monkeypatch
):
    called = []
    monkeypatch.setattr(training, "available", lambda: called.append(training) or True)
    compute(_recipe(model=model), Place(tmp_path))
    assert len(called) == builds
