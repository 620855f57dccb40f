"""A training on words: state carried, rate by window, penalties, means: as by hand, and resumed."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from torchmomentum.experiments.engine.optimizers import at_rate
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.run import penalized
from torchmomentum.experiments.engine.training import setup
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import training_recipe

from ..stopping import Stop, stop_at, train, without_seconds

LR = 30.0  # so large that validation becomes worse
SMALL = {"hidden_size": 8, "embedding_size": 8, "batch_size": 20, "threads": 1, "window": 40}


def _recipe(**changes):
    settings = {"task": "synthetic-words", "model": "sr-awd-lstm", "epochs": 4, "lr": LR}
    return training_recipe({**settings, "patience": 0, **SMALL, **changes}, 1)


def _perplexity(model, batches):
    model.eval()
    total = count = 0
    with torch.no_grad():
        for (x, begins), y in batches:
            loss = cross_entropy(model(x, begins).flatten(0, 1), y.flatten(), reduction="sum")
            total, count = total + loss.item(), count + y.numel()
    model.train()
    return math.exp(total / count)


def _by_hand(recipe):
    """Perplexities on validation samples and the plain losses, epoch by epoch."""
    data, model = setup(recipe, Place("nowhere"))
    held, found, plain, means, count = [], [], [], None, 0
    parameters = list(model.parameters())
    for epoch in range(recipe.epochs):
        data.train.epoch, losses = epoch, []
        for (x, begins), y in data.train:
            loss = cross_entropy(model(x, begins).flatten(0, 1), y.flatten())
            losses.append(loss.item())
            model.zero_grad()
            (loss + model.training_penalty()).backward()
            nn.utils.clip_grad_norm_(parameters, 0.25)
            with torch.no_grad():
                for p in parameters:
                    p -= LR * len(y) / 40 * (p.grad + 1.2e-6 * p)
                if means is not None:
                    count += 1
                    means = [m + (p - m) / count for m, p in zip(means, parameters, strict=True)]
        now = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p, m in zip(parameters, means if count else now, strict=True):
                p.copy_(m)
            found.append(_perplexity(model, data.validation))
            for p, value in zip(parameters, now, strict=True):
                p.copy_(value)
        if means is None and held and found[-1] > min(held):
            means = [torch.zeros_like(p) for p in parameters]
        held.append(found[-1])
        plain.append(sum(losses) / len(losses))
    return found, plain, count > 0


def test_a_training_is_as_by_hand(tmp_path):
    recipe = _recipe()
    expected, losses, averaged = _by_hand(recipe)
    assert averaged  # so that the trigger and the means are tried
    result, _ = train(recipe, Place(tmp_path))
    assert result.curves["validation_metric"] == pytest.approx(expected, rel=1e-4)
    assert result.curves["train_loss"] == pytest.approx(losses, rel=1e-5)
    best = min(range(4), key=lambda i: expected[i])
    assert result.values["chosen_validation"] == pytest.approx(expected[best], rel=1e-4)


@pytest.mark.parametrize("stop", [2, 12, 25, 35])
def test_a_stopped_training_resumes_bit_for_bit(tmp_path, stop):
    """Windows of an epoch differ in number, and the state goes on within one."""
    recipe = _recipe()
    whole, expected = train(recipe, Place(tmp_path / "whole"))
    place = Place(tmp_path / "cut", checkpoint_every=3)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(stop))
    told = []
    resumed, found = train(recipe, place, lambda words, step, steps: told.append(step))
    assert stop - 3 <= told[0] <= stop
    tensors = [name for name, value in expected.items() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(found[name], expected[name]) for name in tensors)
    assert without_seconds(resumed.curves) == without_seconds(whole.curves)


def test_a_rate_is_held_for_a_step_alone():
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": 0.4}], lr=1.0)
    with at_rate(optimizer, 0.5):
        assert optimizer.param_groups[0]["lr"] == 0.2
    assert optimizer.param_groups[0]["lr"] == 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"window": "x"}, "window must be an int, got str"),
        ({"test_columns": 1.5}, "test_columns must be an int, got float"),
        ({"task": "text", "file": 3}, r"file must be a text file: file=TEXT\.txt, got 3"),
        ({"task": "words", "vocabulary": 1}, "vocabulary must be at least 2, got 1"),
    ],
)
def test_options_out_of_their_range_are_named(changes, message):
    with pytest.raises(UsageError, match=message):
        _recipe(**changes)


def test_several_devices_are_refused():
    with pytest.raises(UsageError, match="devices must be 1 for synthetic-words"):
        setup(_recipe(devices=2), Place("nowhere"))


def test_a_models_own_attribute_is_no_penalty():
    model = nn.Linear(1, 1)
    model.training_penalty = 0.5
    loss = torch.ones(())
    assert penalized(loss, model) is loss
