"""Norms of the gradients of states and inputs, against products of Jacobians."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import torchmomentum.nn as tnn
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine.gradients import gradient_norms
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.models.sequence import SequenceModel
from torchmomentum.experiments.studies.momentumrnn import recipes

from ..stopping import Stop, stop_at, train

DATA = Data([], [], [], cross_entropy, cross_entropy, "", False)


@pytest.mark.parametrize("momentum", [None, 0.6])
def test_norms_are_those_of_the_chain_of_jacobians(momentum):
    """dL/dh_{t-1} = dL/dh_t D U, whatever the momentum; dL/dx sums over all later steps."""
    rule = None if momentum is None else tnn.Momentum(momentum, 0.9)
    layer = tnn.RNN(1, 4, momentum=rule) if rule else nn.RNN(1, 4)
    model = SequenceModel(layer, 3, each_step=False).double()
    x, target = torch.randn(6, 5, 1).double(), torch.randint(3, (5,))
    states, inputs = gradient_norms(model, DATA, x, target)
    h = layer(x)[0].detach()
    u, w = layer.weight_hh_l0.detach(), layer.weight_ih_l0.detach()
    probabilities = model.readout(h[-1]).softmax(-1).detach()
    slope = (probabilities - nn.functional.one_hot(target, 3)) @ model.readout.weight.detach()
    expected, drives = [slope], []
    for t in range(5, -1, -1):
        drives.insert(0, expected[0] * (1 - h[t] ** 2))  # with respect to U h + v at each step
        expected.insert(0, drives[0] @ u)
    norms = [each.norm(dim=-1).mean().item() for each in expected[1:]]
    assert states == pytest.approx(norms, rel=1e-9)
    mu, s = (0.0, 1.0) if momentum is None else (momentum, 0.9)
    sums = [sum(mu ** (k - t) * drives[k] for k in range(t, 6)) for t in range(6)]
    norms = [(s * each @ w).norm(dim=-1).mean().item() for each in sums]
    assert inputs == pytest.approx(norms, rel=1e-9)


SMALL = {"stand_in": "pdigits", "epochs": 2, "train_limit": 128, "units": {170: 8}}
SETTINGS = {"task": "pmnist", "N": 170, "model": "momentum-dtriv@mu=0.6@step_size=0.9"}


def test_a_training_is_recorded_is_not_changed_and_resumes(tmp_path):
    settings = {**SETTINGS, "by_task": {"pmnist": SMALL}, "batch_size": 32, "threads": 1}
    recipe = recipes.gradients({**settings, "every": 3}, 0)
    whole, _ = train(recipe, Place(tmp_path / "whole"))
    assert whole.curves["iteration"] == [0, 3, 6]
    assert [len(column) for column in whole.curves["state"]] == [64, 64, 64]
    first, last = whole.curves["state"][0], whole.curves["state"][-1]
    assert whole.values["state_first"] == first[0] / first[-1]
    assert whole.values["state_last"] == last[0] / last[-1]
    place = Place(tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(5))
    again, _ = train(recipe, place)
    assert (again.curves, again.values) == (whole.curves, whole.values)
    plain, _ = train(recipes.training(settings, 0), Place(tmp_path / "plain"))
    assert plain.values["best"] == whole.values["best"]
