"""Drives of root mean square one, on the steps that count."""

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.training import setup
from torchmomentum.experiments.models import model_of
from torchmomentum.experiments.models.unit_init import unit_drives_
from torchmomentum.experiments.studies.training import training_recipe


@pytest.mark.parametrize("make", [nn.LSTM, tnn.GRU, tnn.OrthogonalRNN])
def test_each_unit_has_a_root_mean_square_of_one_where_steps_count(make):
    layer, x = make(3, 5), 7 * torch.randn(6, 4, 3) + 2
    lengths = torch.tensor([6, 1, 3, 4])
    before, hidden = layer.weight_ih_l0.clone(), [p.clone() for p in layer.parameters()]
    unit_drives_(layer, x, lengths)
    seen = torch.cat([x[:n, i] for i, n in enumerate(lengths.tolist())])
    bias = getattr(layer, "bias_ih_l0", None)
    drives = nn.functional.linear(seen, layer.weight_ih_l0, bias)
    torch.testing.assert_close(drives.square().mean(0).sqrt(), torch.ones(drives.shape[1]))
    ratio = layer.weight_ih_l0 / before  # rows are scaled, nothing else is
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    names = [name for name, _ in layer.named_parameters()]
    for name, old, new in zip(names, hidden, layer.parameters(), strict=True):
        assert torch.equal(old, new) == (not name.endswith("ih_l0")), name


def test_a_unit_that_sees_nothing_stays_as_it_is():
    layer = nn.LSTM(3, 2, bias=False)
    before = layer.weight_ih_l0.clone()
    unit_drives_(layer, torch.zeros(4, 2, 3))
    assert torch.equal(layer.weight_ih_l0, before)


@pytest.mark.parametrize(
    ("task", "init"), [("pdigits", "torch-unit"), ("synthetic-speech", "paper-unit")]
)
def test_a_model_begins_with_it(task, init):
    settings = {"task": task, "model": "lstm", "scale": "smoke", "init": init, "hidden_size": 8}
    data, model = setup(training_recipe(settings, 0), Place("nowhere"))
    inputs, _ = next(iter(data.train))
    x, lengths = inputs if isinstance(inputs, tuple) else (inputs, None)
    unit_drives_(model.layer, x, lengths)
    again = model.layer.weight_ih_l0.clone()
    unit_drives_(model.layer, x, lengths)
    torch.testing.assert_close(model.layer.weight_ih_l0, again)


def test_words_have_no_features_to_scale_by():
    found = model_of("awd-lstm")
    with pytest.raises(ValueError, match="init must not depend on a batch for awd-lstm"):
        found.check({**found.options, "init": "paper-unit"})
