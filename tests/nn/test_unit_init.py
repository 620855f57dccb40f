"""Drives of root mean square one, on the steps that count."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import torchmomentum.nn as tnn
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.training import setup
from torchmomentum.experiments.models import model_of
from torchmomentum.experiments.studies.training import training_recipe

LENGTHS = torch.tensor([6, 1, 3, 4])


def _rms(steps, weight, bias):
    return nn.functional.linear(steps, weight, bias).square().mean(0).sqrt()


@pytest.mark.parametrize("form", ["time first", "batch first", "packed", "cell"])
@pytest.mark.parametrize("make", [nn.LSTM, tnn.GRU, tnn.OrthogonalRNN])
def test_each_unit_has_a_root_mean_square_of_one_where_steps_count(make, form):
    if form == "cell" and make is not nn.LSTM:
        pytest.skip("one kind of cell is enough")
    x = 7 * torch.randn(6, 4, 3) + 2
    options = {"batch_first": True} if form == "batch first" else {}
    layer = nn.LSTMCell(3, 5) if form == "cell" else make(3, 5, bidirectional=True, **options)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    counted = torch.cat([x[:n, i] for i, n in enumerate(LENGTHS.tolist())])
    if form == "packed":
        tnn.unit_rms_init_(layer, pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
    elif form == "cell":
        tnn.unit_rms_init_(layer, x[0])
        counted = x[0]
    else:
        given = x.transpose(0, 1) if options else x
        tnn.unit_rms_init_(layer, given, LENGTHS)
    now = dict(layer.named_parameters())
    scaled = {name for name in now if "weight_ih" in name}
    for name in scaled:
        bias = now.get(name.replace("weight", "bias"))
        found = _rms(counted, now[name], bias)
        torch.testing.assert_close(found, torch.ones_like(found))
        ratio = now[name] / before[name]  # rows are scaled
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    biases = {name.replace("weight", "bias") for name in scaled}
    for name in now.keys() - scaled - biases:
        assert torch.equal(now[name], before[name]), name


def _overflowing():
    """A layer whose first unit alone has drives that are infinite."""
    layer = nn.LSTM(3, 2)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1e-20)[0] = 1e20
    return layer


def test_layers_above_stay_as_they_are_and_so_does_a_unit_that_sees_nothing():
    layer = nn.LSTM(3, 2, 2, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0[0] = 1e-9  # as good as nothing
        layer.weight_ih_l0[1] = 1e-5
    above = layer.weight_ih_l1.clone()
    tnn.unit_rms_init_(layer, torch.ones(4, 2, 3))
    assert torch.equal(layer.weight_ih_l1, above)
    assert torch.equal(layer.weight_ih_l0[0], torch.full((3,), 1e-9))
    torch.testing.assert_close(layer.weight_ih_l0[1], torch.full((3,), 1 / 3))


def test_a_cell_has_no_lengths():
    with pytest.raises(ValueError, match="lengths are those of a layer's sequences"):
        tnn.unit_rms_init_(nn.GRUCell(3, 2), torch.ones(4, 3), torch.ones(4).long())


@pytest.mark.parametrize(
    ("layer", "x", "error", "message"),
    [
        (
            nn.Linear(3, 2),
            torch.ones(4, 2, 3),
            TypeError,
            "layer must be a recurrent layer or cell",
        ),
        (nn.LSTM(3, 2), torch.ones(4, 2, 5), ValueError, "input must have 3 features, got 5"),
        (nn.LSTM(3, 2), torch.full((4, 2, 3), torch.inf), ValueError, "input must be finite"),
        (_overflowing(), torch.full((4, 2, 3), 1e20), ValueError, "so must the drives"),
    ],
)
def test_what_does_not_fit_is_named(layer, x, error, message):
    before = [p.clone() for p in layer.parameters()]
    with pytest.raises(error, match=message):
        tnn.unit_rms_init_(layer, x)
    assert all(torch.equal(p, q) for p, q in zip(before, layer.parameters(), strict=True))


@pytest.mark.parametrize(
    ("task", "init"), [("pdigits", "torch-unit"), ("synthetic-speech", "paper-unit")]
)
def test_a_model_begins_with_it(task, init):
    settings = {"task": task, "model": "lstm", "scale": "smoke", "init": init, "hidden_size": 8}
    data, model = setup(training_recipe(settings, 0), Place("nowhere"))
    inputs, _ = next(iter(data.train))
    weight = model.layer.weight_ih_l0.clone()
    tnn.unit_rms_init_(model.layer, *(inputs if isinstance(inputs, tuple) else (inputs,)))
    torch.testing.assert_close(model.layer.weight_ih_l0, weight)


def test_words_have_no_features_to_scale_by():
    found = model_of("awd-lstm")
    with pytest.raises(ValueError, match="init must not depend on a batch for awd-lstm"):
        found.check({**found.options, "init": "paper-unit"})
