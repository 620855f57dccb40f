"""What users of ``torch.nn.RNNBase`` rely on holds for layers that share none of its modes."""

import copy
import io
import pickle
import warnings
from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import layers

OPTIONS = {"num_layers": 2, "bidirectional": True}
MAKERS = {
    "lstm": lambda **k: tnn.MomentumLSTM(3, 5, **OPTIONS, **k),
    "projected": lambda **k: tnn.LSTM(3, 5, proj_size=2, **OPTIONS, **k),
    "no bias": lambda **k: tnn.RNN(3, 5, bias=False, **OPTIONS, **k),
    "normalized": lambda **k: tnn.GRU(3, 5, layer_norm=True, **OPTIONS, **k),
}
ORIGINALS = {
    "lstm": lambda: nn.LSTM(3, 5, **OPTIONS),
    "projected": lambda: nn.LSTM(3, 5, proj_size=2, **OPTIONS),
    "no bias": lambda: nn.RNN(3, 5, bias=False, **OPTIONS),
    "normalized": lambda: nn.GRU(3, 5, **OPTIONS),
}
makers = pytest.mark.parametrize("name", MAKERS)


@makers
def test_weights_have_torchs_names_shapes_draws_and_order(name):
    torch.manual_seed(4)
    original = ORIGINALS[name]()
    torch.manual_seed(4)
    layer = MAKERS[name]()
    assert isinstance(layer, nn.RNNBase)
    assert layer.mode == original.mode
    count = len(list(original.named_parameters()))
    ours = [(n, p) for n, p in layer.named_parameters() if not n.startswith("norm")]
    assert [n for n, _ in ours[:count]] == [n for n, _ in original.named_parameters()]
    for (_, p), q in zip(ours, original.parameters(), strict=False):
        assert torch.equal(p, q)
    for found, expected in zip(layer.all_weights, original.all_weights, strict=True):
        assert [tuple(p.shape) for p in found] == [tuple(p.shape) for p in expected]
    assert [p.shape for p in layer._flat_weights] == [p.shape for p in original._flat_weights]
    assert all(p is getattr(layer, n) for p, n in zip(layer._flat_weights, dict(ours), strict=True))


@makers
def test_the_base_class_follows_the_weights(name):
    layer = MAKERS[name]()
    replaced = nn.Parameter(torch.ones_like(layer.weight_hh_l1))
    layer.weight_hh_l1 = replaced
    assert any(p is replaced for p in layer._flat_weights)
    layer.double()
    assert {p.dtype for p in layer._flat_weights} == {torch.float64}
    listed = [p for weights in layer.all_weights for p in weights]
    assert all(p is q for p, q in zip(layer._flat_weights, listed, strict=True))
    layer.flatten_parameters()  # does nothing on a CPU
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    expected = layer(x)[0]
    moved = layer.to("meta").to_empty(device="cpu")
    assert {p.device.type for p in moved._flat_weights} == {"cpu"}
    assert expected.dtype == torch.float64


@makers
def test_copies_are_whole(name):
    layer, x = MAKERS[name](), torch.randn(4, 2, 3)
    expected = layer(x)[0]
    saved = io.BytesIO()
    torch.save(layer, saved)
    saved.seek(0)
    empty = type(layer).__new__(type(layer))
    empty.__setstate__(layer.__getstate__())
    for other in (
        copy.deepcopy(layer),
        copy.copy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(saved, weights_only=False),
        empty,
    ):
        assert torch.equal(other(x)[0], expected)
        assert repr(other) == repr(layer)
    independent = copy.deepcopy(layer)
    with torch.no_grad():
        independent.weight_ih_l0.zero_()
    assert torch.equal(layer(x)[0], expected)
    assert independent._flat_weights[0] is independent.weight_ih_l0


@makers
def test_forward_on_the_meta_device(name):
    layer = MAKERS[name](device="meta")
    x = torch.zeros(4, 2, 3, device="meta")
    out, _ = layer(x, layer.initial_state(2))
    assert out.is_meta
    assert out.shape == MAKERS[name]()(torch.zeros(4, 2, 3))[0].shape
    assert layer(x, lengths=torch.tensor([4, 2], device="meta"))[0].is_meta


@pytest.mark.parametrize("rule", [tnn.Adam(), tnn.RMSProp(), tnn.NesterovLookahead(1.0, 3)])
def test_every_kind_of_rule_on_the_meta_device(rule):
    layer = tnn.GRU(3, 5, momentum=rule, device="meta")
    out, (h, momentum) = layer(torch.zeros(4, 2, 3, device="meta"), layer.initial_state(2))
    assert out.shape == (4, 2, 5)
    assert h.is_meta
    assert all(t.is_meta for t in momentum[0])


def test_dropout_that_does_nothing_is_warned_of():
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        tnn.LSTM(3, 4, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tnn.LSTM(3, 4, 2, dropout=0.5)


def test_a_rule_of_two_layers_keeps_what_it_learned():
    rule = tnn.Momentum(0.6, 0.9, learnable=True)
    with torch.no_grad():
        rule.logit_mu.fill_(2.0)
    layer = tnn.LSTM(3, 4, momentum=rule)
    assert layer.momentum is rule
    assert rule.logit_mu.item() == 2.0
    layer.reset_parameters()
    assert rule.mu.item() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tnn.MomentumLSTM(3, 4, momentum=0.9), TypeError, "use mu=, step_size="),
        (lambda: tnn.SRLSTMCell(3, 4, momentum=0.9), TypeError, "use step_size=, restart="),
        (lambda: tnn.GRU(3, 4, momentum=tnn.Adam), TypeError, r"pass an instance, Adam\(\.\.\.\)"),
        (lambda: tnn.GRUCell(3, 4, momentum=tnn.Adam), TypeError, "pass an instance"),
        (lambda: tnn.GRU(3, 4).initial_state("a"), TypeError, "batch_size must be an int or None"),
        (lambda: tnn.GRU(3, 4).initial_state(-1), ValueError, "at least 0, got -1"),
        (lambda: tnn.RNN(3, 4, nonlinearity="sin"), ValueError, "Unknown nonlinearity 'sin'"),
        (lambda: tnn.LSTM(3, 4, proj_size=4), ValueError, "smaller than hidden_size"),
        (
            lambda: tnn.GRU(3, 4)(torch.zeros(2, 2, 3), lengths="abc"),
            TypeError,
            "lengths must be a tensor or a list of integers, got str",
        ),
    ],
)
def test_wrong_calls_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "make",
    [
        *(partial(tnn.LSTM, momentum=rule()) for rule in layers.EACH_KIND.values()),
        partial(tnn.LSTM, layer_norm=True),
        tnn.MinGRU,
        tnn.LRU,
        tnn.OrthogonalRNN,
    ],
)
def test_the_default_device_is_for_new_tensors_alone(make):
    layer, x = make(3, 4), torch.randn(4, 2, 3)
    expected = layer(x)[0]
    with torch.device("meta"):
        found = layer(x)[0]
    assert torch.equal(found, expected)


def test_a_rule_is_not_moved_away_from_a_layer():
    rule = tnn.Momentum(0.5, learnable=True)
    layer, x = tnn.LSTM(3, 4, momentum=rule), torch.randn(4, 2, 3)
    for make in (tnn.LSTM, tnn.GRUCell):
        with pytest.raises(ValueError, match="another layer's, on cpu, and this layer is on meta"):
            make(3, 4, momentum=rule, device="meta")
        assert make(3, 4, momentum=copy.deepcopy(rule), device="meta").momentum.learnable
    assert tnn.GRU(3, 4, momentum=rule).momentum is layer.momentum
    layer(x)
