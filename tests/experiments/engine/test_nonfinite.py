"""A loss or a gradient that is not finite: told where it happened, or the step skipped."""

import math

import pytest
import torch
from torch import nn

from torchmomentum.experiments.engine import nonfinite
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.registry import MODELS, TASKS
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks.own import OwnData

from ..stopping import Stop, assert_equal, stop_at, weights


def _batches(count=6):
    drawn = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 5, 3, generator=drawn), torch.arange(4) % 2) for _ in range(count)]


def _broken(batches, *which):
    return [(x * math.nan if i in which else x, y) for i, (x, y) in enumerate(batches)]


def _train(place, batches, *told, model="momentum-lstm", epochs=2, **changes):
    test = [(torch.ones(4, 5, 3), torch.arange(4) % 2)]
    with TASKS.lend({"own": OwnData(batches, test)}):
        settings = {"task": "own", "model": model, "shared": ("hidden_size",), "hidden_size": 4}
        recipe = training_recipe({**settings, "threads": 1, "epochs": epochs, **changes}, 0)
        found = compute(recipe, place, *told)
    return found, None if found.failed else weights(folder_of(recipe, place))


def test_a_batch_that_is_not_finite_is_no_parameters_fault(tmp_path):
    found, _ = _train(Place(tmp_path), _broken(_batches(), 3))
    assert "at step 4 (epoch 1): loss nan; all parameters are finite; the last" in found.failed


def test_nothing_was_before_the_first_step():
    model = nn.Linear(1, 1)
    error = nonfinite.diverged(model, math.inf, 1, 1, None)
    assert str(error) == (
        "training diverged at step 1 (epoch 1): loss inf; all parameters are finite; "
        "try a smaller --lr or --step-size"
    )


@pytest.mark.parametrize("model", ["momentum-lstm", "standardized-lstm"])
def test_skipped_steps_change_nothing(tmp_path, model):
    """Nor do they change the statistics that a model keeps of its inputs."""
    batches = _batches()
    kept = [batch for i, batch in enumerate(batches) if i not in (1, 4)]
    options = {"optimizer": "adam", "model": model, "on_nonfinite": "skip"}
    expected, least = _train(Place(tmp_path / "kept"), kept, **options)
    place = Place(tmp_path / "all")
    found, skipped = _train(place, _broken(batches, 1, 4), **options)
    assert_equal(skipped, least)
    assert found.curves["train_loss"] == expected.curves["train_loss"]
    assert found.curves["step"] == [6, 12]
    assert (expected.costs["skipped_steps"], expected.warning) == (0, None)
    assert found.costs["skipped_steps"] == 4
    assert found.warning == "4 steps were skipped: loss or gradient not finite"


def test_skipped_steps_are_counted_across_a_stop(tmp_path):
    batches = _broken(_batches(), 1, 4)
    expected, least = _train(Place(tmp_path / "whole"), batches, on_nonfinite="skip")
    place = Place(tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(Stop):
        _train(place, batches, stop_at(9), on_nonfinite="skip")
    found, resumed = _train(place, batches, on_nonfinite="skip")
    assert_equal(resumed, least)
    assert found.curves["train_loss"] == expected.curves["train_loss"]
    assert found.costs["skipped_steps"] == 4


class Rooted(nn.Module):
    """Its loss is finite, its gradient is not."""

    def __init__(self, input_size, output_size):
        super().__init__()
        self.readout = nn.Linear(input_size, output_size)

    def forward(self, x):
        return self.readout(x[-1]) + (self.readout.weight.sum() * 0).sqrt()


def _rooted(folder, **changes):
    with MODELS.lend({"rooted": Rooted}):
        place = Place(folder, checkpoint_every=1)
        return _train(place, _batches(), model="rooted", **changes)[0]


def test_the_step_the_parameter_and_the_last_finite_loss_are_named(tmp_path):
    found = _rooted(tmp_path)
    told = "training diverged at step 2 (epoch 1): loss nan; readout.weight is not finite; "
    assert found.failed.startswith(told + "the last finite loss was 0.")
    assert found.failed.endswith(" at step 1; try a smaller --lr or --step-size")
    assert found.values == {}


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    """A run that is killed between them and the end diverges again, and alike."""
    found = _rooted(tmp_path)
    assert not list(tmp_path.rglob("*.ckpt"))
    (result,) = tmp_path.rglob("result.json")
    result.unlink()
    assert _rooted(tmp_path).failed == found.failed


def test_a_gradient_that_is_not_finite_is_skipped_too(tmp_path):
    """And an epoch without a step that was made has no loss."""
    found = _rooted(tmp_path, on_nonfinite="skip")
    assert found.failed.startswith("training diverged in epoch 1: train loss nan, test loss 0.")
    assert found.costs["skipped_steps"] == 6


@pytest.mark.parametrize(("most", "diverges"), [(2, True), (3, False)])
def test_too_many_in_a_row_end_the_run(tmp_path, monkeypatch, most, diverges):
    monkeypatch.setattr(nonfinite, "MOST_SKIPPED", most)
    batches = _broken(_batches(8), 0, 1, 3, 4, 5)
    found, _ = _train(Place(tmp_path, checkpoint_every=1), batches, on_nonfinite="skip")
    told = "training diverged at step 6 (epoch 1): 3 steps in a row had a loss or a gradient"
    assert (found.failed or "").startswith(told) is diverges
    assert (found.failed is None) is not diverges
