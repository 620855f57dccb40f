"""Layers of torch.nn made ours, sharing their parameters, and ours made torch.nn's."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import torchmomentum as tm
from tests.nn.test_convert import MOMENTUM, Doubled


def test_a_flat_state_keeps_its_layer():
    flat = tm.nn.FlatState(tm.nn.MomentumLSTM(3, 4, mu=0.6))
    with pytest.warns(UserWarning, match=r"layer \(MomentumLSTM\) is left: it is in a FlatState"):
        tm.nn.to_torch(flat)
    assert flat(torch.ones(5, 2, 3))[0].shape == (5, 2, 4)


def test_from_torch():
    layer = nn.LSTM(3, 4, num_layers=2, proj_size=2, bias=False, batch_first=True).double().eval()
    made = tm.nn.from_torch(layer, MOMENTUM)
    assert type(made) is tm.nn.LSTM
    assert type(layer) is nn.LSTM
    assert not made.training
    assert all(a is b for a, b in zip(made.parameters(), layer.parameters(), strict=True))
    assert made.momentum is not MOMENTUM
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(tm.nn.from_torch(layer)(x), layer(x))
    out, state = made(x, made.initial_state(2, dtype=torch.float64))
    assert len(state) == 3
    assert torch.equal(out, tm.nn.momentumize(layer, MOMENTUM)(x)[0])
    cell = tm.nn.from_torch(nn.RNNCell(3, 4, nonlinearity="relu"), MOMENTUM)
    assert len(cell(torch.zeros(2, 3))) == 3
    for wrong in (nn.Linear(2, 2), Doubled(3, 4), made):
        with pytest.raises(TypeError, match=r"must be an RNN, LSTM or GRU of torch.nn, or a cell"):
            tm.nn.from_torch(wrong, MOMENTUM)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRUCell])
def test_from_torch_takes_a_rule_as_it_is_now(kind):
    rule = tm.nn.Momentum(0.9, 0.6, learnable=True)
    with torch.no_grad():
        rule.logit_mu.fill_(0.0)  # learned: a new rule begins at 0.9
    layer = kind(3, 4, device="meta")
    drawn = torch.get_rng_state()
    made = tm.nn.from_torch(layer, rule)
    assert torch.equal(torch.get_rng_state(), drawn)  # the weights are there: none are drawn
    assert rule.mu.item() == 0.5
    assert made.momentum is not rule
    assert made.momentum.logit_mu.is_meta
    assert tm.nn.from_torch(kind(3, 4), rule).momentum.mu.item() == 0.5


@pytest.mark.parametrize("change", ["norm", "prune"])
def test_from_torch_rejects_weights_that_are_made(change):
    layer = nn.LSTM(3, 4)
    if change == "prune":
        prune.l1_unstructured(layer, "weight_hh_l0", 0.5)
    else:
        layer.weight = layer.weight_hh_l0
        del layer.weight_hh_l0
        layer.weight_hh_l0 = 2 * layer.weight
    expected = layer(torch.ones(5, 2, 3))[0]
    with pytest.raises(TypeError, match="weight_hh_l0 is no parameter of the layer: it is pruned"):
        tm.nn.from_torch(layer, MOMENTUM)
    tm.nn.momentumize(layer, tm.nn.Momentum(0.0, 1.0))  # as without a rule
    torch.testing.assert_close(layer(torch.ones(5, 2, 3))[0], expected)


class Mine(tm.nn.LSTM):
    """A layer of a user's, which computes more than ours."""

    def forward(self, x, hx=None):
        out, state = super().forward(x, hx)
        return 2 * out, state


def test_ours_become_torchs():
    model = nn.ModuleDict(
        {
            "rnn": tm.nn.MomentumRNN(3, 4, nonlinearity="relu", mu=0.5),
            "lstm": tm.nn.LSTM(3, 4, proj_size=2, bidirectional=True),
            "cell": tm.nn.AdamLSTMCell(3, 4),
        }
    )
    expected = {
        "rnn": nn.RNN(3, 4, nonlinearity="relu"),
        "lstm": nn.LSTM(3, 4, proj_size=2, bidirectional=True),
        "cell": nn.LSTMCell(3, 4),
    }
    for name, module in expected.items():
        module.load_state_dict(model[name].state_dict())
    tm.nn.to_torch(model)
    x = torch.randn(5, 2, 3)
    for name, module in expected.items():
        assert type(model[name]) is type(module)
        given = x if name != "cell" else x[0]
        torch.testing.assert_close(model[name](given), module(given), rtol=0, atol=0)
        assert vars(model[name]).keys() == vars(module).keys()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: tm.nn.OrthogonalRNN(3, 4), "another cell"),
        (lambda: tm.nn.LSTM(3, 4, layer_norm=True), "layer_norm"),
        (lambda: tm.nn.LSTM(3, 4, zoneout=0.1), "zoneout_h"),
        (lambda: Mine(3, 4), "is of a class of yours, and would lose what that adds"),
    ],
)
def test_what_torch_does_not_have_is_left(make, why):
    layer = make()
    with pytest.warns(UserWarning, match=f"the model .* is left: it .*{why}") as told:
        assert tm.nn.to_torch(layer) is layer
    assert told[0].filename == __file__
    assert isinstance(layer, tm.nn.Recurrent)
