"""Recurrent dropout, weight dropout, zoneout and normalization of a layer."""

from itertools import pairwise

import pytest
import torch
from torch.nn.functional import layer_norm

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.ops import BACKENDS, _run, available, choose

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


@pytest.mark.parametrize(
    ("dtype", "layer_norm"), [(torch.float32, False), (torch.float32, True), (torch.float64, False)]
)
@cells
@rules
def test_kernels_and_definition_draw_and_differentiate_alike(
    cell, rule, dtype, layer_norm, monkeypatch
):
    options = {**EVERYTHING, "layer_norm": layer_norm, "bidirectional": True, "dtype": dtype}
    # units for several vectors of each instruction set, the last one in part
    layer = layers.CELLS[cell](3, 19, 2, momentum=layers.RULES[rule](), **options)
    x, results = torch.randn(7, 4, 3, dtype=dtype), []
    chosen = []

    def forced(problem, backend=None):
        chosen.append((choose(problem, backend).name, problem.moments is not None))
        return BACKENDS["loop"]

    for _ in range(2):
        out = _twice(layer, x)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(layer.parameters()))])
        monkeypatch.setattr(_run, "choose", forced)
    for a, b in zip(*results, strict=True):
        close = {"rtol": 0, "atol": 1e-11}
        if dtype == torch.float32:
            # normalization is steep where drives are nearly equal: the loop is as far from float64
            error = 1e-3 if layer_norm else 1e-4
            close = {"rtol": error, "atol": error * max(1.0, b.abs().max().item())}
        torch.testing.assert_close(a, b, **close)
    kernels = dtype == torch.float32 and available()
    fused = rule == "adam" and not layer_norm
    assert set(chosen) == {("cpu" if kernels else "definition", fused)}


def _both(first, second):
    """How often two masks hold together, and how often if they knew nothing of each other."""
    together = (first & second).float().mean().item()
    return together, first.float().mean().item() * second.float().mean().item()


def _independent(first, second, tolerance):
    together, expected = _both(first, second)
    assert abs(together - expected) < tolerance


def _identity_rnn(size, **options):
    """A network with ``h_t = relu(h_{t-1} + 1)`` but for its options."""
    layer = tnn.RNN(1, size, nonlinearity="relu", **options)
    with torch.no_grad():
        for k in range(layer.num_layers):
            getattr(layer, f"weight_ih_l{k}").zero_()
            getattr(layer, f"weight_hh_l{k}").copy_(torch.eye(size))
            getattr(layer, f"bias_ih_l{k}").fill_(1.0)
            getattr(layer, f"bias_hh_l{k}").zero_()
    return layer


def test_recurrent_dropout_hides_units_of_each_sequence_throughout():
    out = _identity_rnn(400, recurrent_dropout=0.2)(torch.zeros(4, 30, 1))[0].detach()
    dropped = out[1] == 1.0
    assert abs(dropped.float().mean() - 0.2) < 0.015  # six standard deviations of 12,000 draws
    assert torch.equal(out[2] == 1.0, dropped)
    assert torch.equal(out[3] == 1.0, dropped)
    torch.testing.assert_close(out[1][~dropped], (1 + out[0] / 0.8)[~dropped])
    torch.testing.assert_close(out[2][~dropped], (1 + out[1] / 0.8)[~dropped])
    _independent(dropped[:-1], dropped[1:], 0.02)  # sequences
    _independent(dropped[:, :-1], dropped[:, 1:], 0.02)  # units


def test_recurrent_dropout_of_each_direction_is_its_own():
    layer = tnn.RNN(1, 300, bidirectional=True, recurrent_dropout=0.2, nonlinearity="relu")
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.eye(300) if p.shape == (300, 300) else torch.ones_like(p))
    out = layer(torch.zeros(2, 20, 1))[0]
    dropped = (out[1, :, :300] == 2.0), (out[0, :, 300:] == 2.0)
    assert all(abs(d.float().mean() - 0.2) < 0.03 for d in dropped)
    _independent(*dropped, 0.03)


def test_weight_dropout_draws_the_recurrent_weights_once_for_all_steps():
    size = 100
    layer = _identity_rnn(size, weight_dropout=0.2)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(1.0)
        layer.bias_ih_l0.zero_()
    out = layer(torch.zeros(2, size, 1), torch.eye(size).unsqueeze(0))[0]
    weights = out[0].T  # sequence k reads column k
    dropped = weights == 0
    assert abs(dropped.float().mean() - 0.2) < 0.024  # six standard deviations
    torch.testing.assert_close(weights[~dropped], torch.full_like(weights[~dropped], 1 / 0.8))
    _independent(dropped[:-1], dropped[1:], 0.03)
    torch.testing.assert_close(out[1], out[0] @ weights.T)


@pytest.mark.parametrize(("of_h", "of_c"), [(0.1, 0.35), (0.0, 0.35), (0.1, 0.0)])
def test_zoneout_keeps_units_of_each_state_by_its_own_rate(of_h, of_c):
    h, c = torch.full((1, 400, 30), 0.1), torch.full((1, 400, 30), 0.2)
    layer = tnn.LSTM(3, 30, zoneout=(of_h, of_c))
    _, (new_h, new_c) = layer(torch.randn(1, 400, 3), (h, c))
    kept_h, kept_c = (new_h == h)[0], (new_c == c)[0]
    assert abs(kept_h.float().mean() - of_h) < 0.02
    assert abs(kept_c.float().mean() - of_c) < 0.027
    _independent(kept_h, kept_c, 0.01)
    for kept in (kept_h, kept_c):
        _independent(kept[:-1], kept[1:], 0.02)  # sequences
        _independent(kept[:, :-1], kept[:, 1:], 0.02)  # units


def test_zoneout_is_drawn_at_each_step():
    out = _identity_rnn(300, zoneout=0.2)(torch.zeros(8, 20, 1))[0]
    before = torch.cat([torch.zeros_like(out[:1]), out[:-1]])
    kept = out == before
    assert ((kept.float().mean((1, 2)) - 0.2).abs() < 0.03).all()
    torch.testing.assert_close(out[~kept], before[~kept] + 1)
    for first, second in pairwise(kept):
        _independent(first, second, 0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zoneout_in_evaluation_is_its_mean(dtype):
    x, (h, c) = torch.randn(1, 9, 3, dtype=dtype), torch.randn(2, 1, 9, 4, dtype=dtype)
    layer = tnn.LSTM(3, 4, zoneout=(0.1, 0.35), dtype=dtype).eval()
    plain = tnn.LSTM(3, 4, dtype=dtype)
    plain.load_state_dict(layer.state_dict())
    _, (new_h, new_c) = plain(x, (h, c))
    out, (mean_h, mean_c) = layer(x, (h, c))
    torch.testing.assert_close(mean_h, 0.1 * h + 0.9 * new_h)
    torch.testing.assert_close(mean_c, 0.35 * c + 0.65 * new_c)
    assert torch.equal(out, mean_h)


def test_dropout_between_layers():
    layer = _identity_rnn(300, num_layers=2, dropout=0.3)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        layer.weight_hh_l1.zero_()
        layer.bias_ih_l1.zero_()
        layer.weight_ih_l1.copy_(torch.eye(300))
    x = torch.zeros(3, 20, 1)
    out = layer(x)[0]  # the first layer puts out ones
    assert abs((out == 0).float().mean() - 0.3) < 0.02
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / 0.7))
    _independent((out == 0)[0], (out == 0)[1], 0.02)
    assert torch.equal(layer.eval()(x)[0], torch.ones_like(out))


@pytest.mark.parametrize("rule", [None, tnn.Momentum(0.6, 0.9), tnn.Adam(0.6, 0.9, 0.7)])
def test_normalization_by_hand(rule):
    layer = tnn.LSTM(3, 4, layer_norm=True, momentum=rule, dtype=torch.float64)
    with torch.no_grad():
        for name in ("norm_ih_l0", "norm_hh_l0", "norm_c_l0", "norm_c_bias_l0"):
            getattr(layer, name).normal_()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    h = c = torch.zeros(2, 4, dtype=torch.float64)
    drives = layer_norm(x @ layer.weight_ih_l0.T, (16,)) * layer.norm_ih_l0 + layer.bias_ih_l0
    expected = []
    for y in drives if rule is None else rule.scan(drives)[0]:
        recurrent = layer_norm(h @ layer.weight_hh_l0.T, (16,)) * layer.norm_hh_l0
        gates = y + recurrent + layer.bias_hh_l0
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


def test_normalizations_begin_and_are_reset_as_gains_of_one_and_shifts_of_zero():
    layer = tnn.LSTM(3, 4, 2, bidirectional=True, layer_norm=True)
    norms = {n: p for n, p in layer.named_parameters() if n.startswith("norm")}
    assert len(norms) == 16
    for _ in range(2):
        for name, p in norms.items():
            assert torch.equal(p, torch.full_like(p, 0.0 if "bias" in name else 1.0)), name
            torch.nn.init.normal_(p)
        layer.reset_parameters()


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


class Indifferent(tnn.NesterovLookahead):
    """Asks for lookahead, and says the defaults of all the rest in numbers of its own."""

    def modifiers(self, state):
        return super().modifiers(state)._replace(keep_scale=float("1.0"), rate_h=float("0.0"))


def test_a_rule_leaves_the_layers_options_alone():
    found = []
    for rule in (tnn.NesterovLookahead(0.9), Indifferent(0.9)):
        torch.manual_seed(0)
        layer = tnn.LSTM(3, 4, momentum=rule, recurrent_dropout=0.5)
        found.append(layer(torch.ones(5, 2, 3))[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("rates", [(0.25, 0.0), (0.0, 0.25), (1.0, 1.0)])
def test_zoneout_s_means_are_those_of_each_state_alone(rates):
    """In evaluation, against a step by hand; where all stays, nothing moves."""
    torch.manual_seed(0)
    layer = tnn.LSTM(3, 4, zoneout=rates).eval()
    x, h, c = torch.randn(5, 2, 3), torch.randn(2, 4), torch.randn(2, 4)
    out, (last_h, last_c) = layer(x, (h[None], c[None]))
    plain = torch.nn.LSTMCell(3, 4)
    plain.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    for x_t in x:
        new_h, new_c = plain(x_t, (h, c))
        h, c = (
            new + rate * (old - new)
            for new, old, rate in zip((new_h, new_c), (h, c), rates, strict=True)
        )
    torch.testing.assert_close((out[-1], last_h[0], last_c[0]), (h, h, c))


def test_a_layer_shows_which_options_are_on():
    assert repr(tnn.LSTM(3, 4)) == "LSTM(3, 4)"
    assert repr(tnn.LSTM(3, 4, layer_norm=True)) == "LSTM(3, 4, layer_norm=True)"
