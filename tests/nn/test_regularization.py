"""Recurrent dropout, weight dropout, zoneout and normalization of a layer."""

import pytest
import torch
from torch.nn.functional import layer_norm

import torchmomentum.nn as tnn
from tests.reference import layers

cells = pytest.mark.parametrize("cell", layers.CELLS)
rules = pytest.mark.parametrize("rule", layers.EACH_KIND)
EVERYTHING = {"recurrent_dropout": 0.3, "weight_dropout": 0.2, "zoneout": 0.25}


def _twice(layer, x, seed=0):
    torch.manual_seed(seed)
    return layer(x)[0]


@cells
@rules
def test_draws_follow_the_seed_and_vanish_in_evaluation(cell, rule):
    x = torch.randn(7, 2, 3)
    for options in ({name: value} for name, value in EVERYTHING.items()):
        layer = layers.CELLS[cell](3, 6, momentum=layers.RULES[rule](), **options)
        torch.testing.assert_close(_twice(layer, x), _twice(layer, x), rtol=0, atol=0)
        assert not torch.equal(_twice(layer, x), _twice(layer, x, seed=1))
        layer.eval()
        torch.testing.assert_close(_twice(layer, x), _twice(layer, x, seed=1), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@cells
@rules
def test_kernels_and_definition_draw_alike_and_differentiate_alike(cell, rule, dtype):
    layer = layers.CELLS[cell](
        3, 6, 2, momentum=layers.RULES[rule](), layer_norm=True, bidirectional=True, **EVERYTHING
    )
    exact = layers.CELLS[cell](
        3, 6, 2, momentum=layers.RULES[rule](), layer_norm=True, bidirectional=True, **EVERYTHING
    )
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(7, 4, 3)
    results = []
    for function, type_ in ((layer.to(dtype), dtype), (exact.double(), torch.float64)):
        out = _twice(function, x.to(type_))
        grads = torch.autograd.grad(out.square().sum(), list(function.parameters()))
        results.append([out, *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3, check_dtype=False)


def test_recurrent_dropout_is_one_draw_for_a_sequence():
    layer = tnn.RNN(3, 50, recurrent_dropout=0.5)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.copy_(torch.eye(50))
        layer.bias_ih_l0.fill_(0.1)
        layer.bias_hh_l0.zero_()
    out = layer(torch.zeros(6, 4, 3))[0]
    first = out[0, 0, 0]
    dropped = out[1] == first
    assert 0.3 < dropped.float().mean() < 0.7
    assert (out[:, dropped] == first).all()
    scaled = (0.1 + 2 * first).tanh()  # what is seen is scaled by 1 / (1 - p)
    torch.testing.assert_close(out[1][~dropped], scaled.expand_as(out[1][~dropped]))


def test_weight_dropout_draws_the_recurrent_weights_once():
    layer = tnn.LSTM(3, 4, weight_dropout=0.5)
    x = torch.randn(5, 2, 3)
    torch.manual_seed(3)
    found = layer(x)[0]
    torch.manual_seed(3)
    dropped = torch.nn.functional.dropout(layer.weight_hh_l0, 0.5)
    plain = tnn.LSTM(3, 4)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.weight_hh_l0.copy_(dropped)
    torch.testing.assert_close(found, plain(x)[0])


def test_zoneout_keeps_what_was_and_in_evaluation_its_mean():
    x, h = torch.randn(1, 2000, 3), torch.full((1, 2000, 4), 5.0)
    layer = tnn.GRU(3, 4, zoneout=0.25)
    out = layer(x, h)[0]
    assert 0.22 < (out == 5.0).float().mean() < 0.28
    plain = tnn.GRU(3, 4)
    plain.load_state_dict(layer.state_dict())
    kept = out == 5.0
    torch.testing.assert_close(out[~kept], plain(x, h)[0][~kept])
    torch.testing.assert_close(layer.eval()(x, h)[0], 0.25 * 5.0 + 0.75 * plain(x, h)[0])


def test_zoneout_of_one_state_alone():
    state = (torch.full((1, 500, 4), 0.1), torch.full((1, 500, 4), 0.2))
    for pair, of_h, of_c in (((0.5, 0.0), 0.5, 0.0), ((0.0, 0.5), 0.0, 0.5), (1.0, 1.0, 1.0)):
        _, (h, c) = tnn.LSTM(3, 4, zoneout=pair)(torch.randn(1, 500, 3), state)
        assert abs((h == 0.1).float().mean() - of_h) < 0.06
        assert abs((c == 0.2).float().mean() - of_c) < 0.06


def test_normalization_by_hand():
    layer = tnn.LSTM(3, 4, layer_norm=True, dtype=torch.float64)
    with torch.no_grad():
        for name in ("norm_ih_l0", "norm_hh_l0", "norm_c_l0", "norm_c_bias_l0"):
            getattr(layer, name).normal_()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    h = c = torch.zeros(2, 4, dtype=torch.float64)
    expected = []
    for step in x:
        drive = layer_norm(step @ layer.weight_ih_l0.T, (16,)) * layer.norm_ih_l0
        recurrent = layer_norm(h @ layer.weight_hh_l0.T, (16,)) * layer.norm_hh_l0
        gates = drive + layer.bias_ih_l0 + recurrent + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        shown = layer_norm(c, (4,)) * layer.norm_c_l0 + layer.norm_c_bias_l0
        h = o.sigmoid() * shown.tanh()
        expected.append(h)
    torch.testing.assert_close(layer(x)[0], torch.stack(expected))


def test_what_normalizes_has_parameters_that_train_and_reset():
    layer = tnn.GRU(3, 4, 2, bidirectional=True, layer_norm=True)
    names = {f"norm_{k}_l{i}{d}" for k in ("ih", "hh") for i in (0, 1) for d in ("", "_reverse")}
    assert {n for n, _ in layer.named_parameters() if n.startswith("norm")} == names
    layer(torch.randn(5, 2, 3))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    with torch.no_grad():
        layer.norm_ih_l0.zero_()
    layer.reset_parameters()
    assert (layer.norm_ih_l0 == 1).all()


def test_packed_and_lengths_with_everything():
    lengths = torch.tensor([3, 7, 1, 5])
    layer = tnn.AdamLSTM(3, 4, layer_norm=True, **EVERYTHING)
    x = torch.randn(7, 4, 3, requires_grad=True)
    torch.manual_seed(0)
    out, _ = layer(x, lengths=lengths)
    out.sum().backward()
    for row, length in enumerate(lengths.tolist()):
        assert (out[length:, row] == 0).all()
        assert (x.grad[length:, row] == 0).all()
        assert (x.grad[:length, row] != 0).any()
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    layer(packed)[0].data.sum().backward()


def test_captured_with_everything():
    layer = tnn.MomentumLSTM(3, 4, **EVERYTHING)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for time in (5, 8):
        out = compiled(torch.randn(time, 2, 3))[0]
        torch.autograd.grad(out.sum(), layer.parameters())
    layer.eval()
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recurrent_dropout": 1.0}, ValueError, r"recurrent_dropout must be in \[0, 1\), got 1"),
        ({"weight_dropout": -0.1}, ValueError, r"weight_dropout must be in \[0, 1\), got -0.1"),
        ({"zoneout": 1.5}, ValueError, r"zoneout must be in \[0, 1\], got 1.5"),
        ({"zoneout": (0.1, 0.2, 0.3)}, ValueError, "a number or one for each state, got 3"),
        ({"zoneout": "x"}, TypeError, "zoneout must be a number, got str"),
        ({"layer_norm": 1}, TypeError, "layer_norm must be a bool, got int"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        tnn.LSTM(3, 4, **options)


def test_zoneout_of_a_state_that_is_not_there():
    with pytest.raises(ValueError, match="one for each state, got 2"):
        tnn.GRU(3, 4, zoneout=(0.1, 0.2))


def test_shown():
    assert repr(tnn.GRU(3, 4, zoneout=0.2)) == "GRU(3, 4, zoneout_h=0.2)"
    shown = repr(tnn.LSTM(3, 4, zoneout=(0.1, 0.2), layer_norm=True))
    assert shown == "LSTM(3, 4, zoneout_h=0.1, zoneout_c=0.2, layer_norm=True)"
