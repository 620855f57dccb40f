"""Trivial predictions, against sums by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from torchmomentum.experiments.data.text import made_text
from torchmomentum.experiments.data.tones import load_tones
from torchmomentum.experiments.engine.compute import compute
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.trivial import Unigram
from torchmomentum.experiments.studies.trivial import Trivial

COUNTS = {"train": 160, "validation": 16, "test": 16}
SPEECH = {"task": "synthetic-speech", "task_options": {"train_limit": 20, "test_limit": None}}


def _error(predict, sentences):
    """The mean over all frames but the first of each."""
    errors = [(predict(each) - each[1:]).double().square() for each in sentences]
    return torch.cat(errors).mean().item()


def test_persistence_and_mean(tmp_path):
    parts = load_tones(COUNTS)
    mean = torch.cat([each[1:] for each in parts["train"][:20]]).mean(0)
    for name, predict in (("persistence", lambda s: s[:-1]), ("mean", lambda s: mean)):
        found = compute(Trivial(name, **SPEECH), Place(tmp_path)).values
        assert found["chosen"] == pytest.approx(_error(predict, parts["test"]), rel=1e-5)
        expected = _error(predict, parts["validation"])
        assert found["chosen_validation"] == pytest.approx(expected, rel=1e-5)


def test_unigram(tmp_path):
    text = made_text([8000, 1000, 1000])
    recipe = Trivial("unigram", "synthetic-words", {"window": 70, "test_columns": 10}, 20)
    found = compute(recipe, Place(tmp_path)).values["chosen"]
    train = text.train.view(20, 400)[:, 1:].flatten()
    test = text.test.view(10, 100)[:, 1:].flatten()
    chance = {w: (int((train == w).sum()) + 1) / (len(train) + 40) for w in range(40)}
    loss = -sum(math.log(chance[w]) for w in test.tolist()) / len(test)
    assert found == pytest.approx(math.exp(loss), rel=1e-5)


def test_a_word_that_training_lacks_has_a_chance():
    data = SimpleNamespace(output_size=3, train=[(None, torch.tensor([[0, 0], [1, 0]]))])
    chances = Unigram(data).scores.softmax(0)
    torch.testing.assert_close(chances, torch.tensor([4.0, 2.0, 1.0]) / 7)
