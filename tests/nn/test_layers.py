import inspect
from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.testing import check_rnn

RULES = layers.RULES
HIDDEN = {**layers.HIDDEN, **layers.GAIN}
CELLS = {
    **layers.CELLS,
    **layers.NORMALIZED,
    "rnn_relu": partial(tnn.RNN, nonlinearity="relu"),
}


_OTHERS = ("restarted", "rmsprop")  # numbers of other rules: Nesterov's and Adam's


def _made(cell, rule, *args, **kwargs):
    return CELLS[cell](*args, momentum={**RULES, **HIDDEN}[rule](), **kwargs)


@pytest.mark.parametrize("original", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_originals_keep_the_contract(original):
    check_rnn(original)


@pytest.mark.parametrize(
    ("rule", "cell"),
    [
        *((rule, cell) for rule in RULES for cell in layers.CELLS if rule not in _OTHERS),
        *((rule, "lstm") for rule in (*_OTHERS, *HIDDEN)),
        ("hidden adam", "gru"),
        ("gain", "gru"),
        ("adam", "rnn_relu"),  # which differs from tanh in a function only
        ("momentum", "rnn_relu"),
        # as slow as it is, once for each cell and each way of a rule
        ("momentum", "normalized gru"),
        ("released", "normalized rnn"),
        ("adam", "normalized lstm"),
    ],
)
def test_every_rule_with_every_cell_keeps_the_contract(rule, cell):
    # functional_call writes to the rule's parameters too, of which these have none
    check_rnn(partial(_made, cell, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("two", [False, True])
def test_projections(rule, two):
    layer = tnn.LSTM(
        3, 5, 2, proj_size=2, bidirectional=two, momentum=RULES[rule](), dtype=torch.float64
    )
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    out, (h, c) = layer(x)
    directions = 2 if two else 1
    assert out.shape == (6, 4, 2 * directions)
    assert h.shape == (2 * directions, 4, 2)
    assert c.shape == (2 * directions, 4, 5)
    lengths = torch.tensor([6, 2, 4, 1])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    padded, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0])
    torch.testing.assert_close(padded[:2, 1], layer(x[:2, 1])[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False},
     {"proj_size": 2}, {"num_layers": 2, "dropout": 0.5}],
)  # fmt: skip
def test_without_momentum_it_is_torchs(options, dtype):
    torch.manual_seed(1)
    original = nn.LSTM(3, 5, dtype=dtype, **options)
    torch.manual_seed(1)
    layer = tnn.MomentumLSTM(3, 5, dtype=dtype, mu=0.0, step_size=1.0, **options)
    for p, q in zip(original.parameters(), layer.parameters(), strict=True):
        assert torch.equal(p, q)
    x = torch.randn(4, 6, 3, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.manual_seed(2)  # the same dropout
    out, state = original(x)
    torch.manual_seed(2)
    found, found_state = layer(x)
    torch.testing.assert_close(found, out, rtol=0, atol=tolerance)
    torch.testing.assert_close(found_state, state, rtol=0, atol=tolerance)
    out.square().sum().backward()
    found.square().sum().backward()
    for p, q in zip(original.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize(
    ("original", "ours"),
    [(nn.LSTM, tnn.MomentumLSTM), (nn.GRU, tnn.MomentumGRU), (nn.RNN, tnn.MomentumRNN)],
)
def test_state_dicts_go_both_ways(original, ours):
    a, b = original(3, 5, 2, bidirectional=True), ours(3, 5, 2, bidirectional=True)
    b.load_state_dict(a.state_dict())
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    c = original(3, 5, 2, bidirectional=True)
    c.load_state_dict(b.state_dict())
    assert torch.equal(c.weight_hh_l1_reverse, a.weight_hh_l1_reverse)


@pytest.mark.parametrize(
    ("original", "ours"), [(nn.LSTM, tnn.LSTM), (nn.GRU, tnn.GRU), (nn.RNN, tnn.RNN)]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda make: make(3, 0),
        lambda make: make(0, 3),
        lambda make: make(3, 4, num_layers=0),
        lambda make: make(3, 4.0),
        lambda make: make(3, 4, bias=1),
        lambda make: make(3, 4, dropout=2.0),
        lambda make: make(3, 4)(torch.zeros(1, 2, 2, 3)),
        lambda make: make(3, 4)(torch.zeros(2, 2, 5)),
        lambda make: make(3, 4)(torch.zeros(2, 2, 3, dtype=torch.float64)),
        lambda make: make(3, 4)(torch.zeros(0, 2, 3)),
    ],
)
def test_errors_read_as_torchs(original, ours, call):
    try:
        call(original)
    except (TypeError, ValueError, RuntimeError) as error:
        expected = error
    else:  # torch 2.8 has no check of some
        call(ours)
        pytest.skip("this torch accepts it, and so do we")
    with pytest.raises(type(expected)) as found:
        call(ours)
    # torch.nn.RNN alone ends one of them with "tensor"
    assert str(found.value) == str(expected).replace("D tensor instead", "D instead")


@pytest.mark.parametrize(
    "hx",
    [
        (torch.zeros(1, 3, 6), torch.zeros(1, 3, 5)),
        (torch.zeros(1, 3, 5), torch.zeros(1, 3, 6)),
        (torch.zeros(3, 5), torch.zeros(3, 5)),
    ],
)
def test_wrong_states_read_as_torchs(hx):
    x = torch.zeros(2, 3, 4)
    with pytest.raises(RuntimeError) as expected:
        nn.LSTM(4, 5)(x, hx)
    with pytest.raises(RuntimeError) as found:
        tnn.MomentumLSTM(4, 5)(x, hx)
    assert str(found.value) == str(expected.value)


def test_wrong_structures_of_state_are_named():
    layer, x = tnn.MomentumLSTM(4, 5), torch.zeros(2, 3, 4)
    h = torch.zeros(1, 3, 5)
    with pytest.raises(TypeError, match=r"hx must be \(h, c\) or \(h, c, momentum\), got Tensor"):
        layer(x, h)
    with pytest.raises(TypeError, match="one entry for each of the 1 layers and directions"):
        layer(x, (h, h, ()))
    _, _, memory = layer.initial_state(4)
    with pytest.raises(RuntimeError, match=r"Expected momentum\[0\] size \(3, 5\), got \[4, 5\]"):
        layer(x, (h, h, memory))
    with pytest.raises(TypeError, match=r"momentum\[0\] must be 2 tensor\(s\), AdamState"):
        tnn.AdamLSTM(4, 5)(x, (h, h, memory))
    with pytest.raises(ValueError, match="without a momentum rule takes no momentum state"):
        tnn.LSTM(4, 5)(x, (h, h, memory))
    with pytest.raises(TypeError, match=r"hx must be a tensor h or \(h, momentum\)"):
        tnn.MomentumGRU(4, 5)(x, (h, h, h))
    with pytest.raises(
        TypeError, match=r"hx must be a tensor h or \(h, momentum\), got tuple of 1"
    ):
        tnn.MomentumGRU(4, 5)(x, (h,))
    with pytest.raises(ValueError, match="only supported for LSTM"):
        tnn.GRU(4, 5, proj_size=2)


@pytest.mark.parametrize("rule", [name for name in RULES if name != "none"])
@pytest.mark.parametrize("two", [False, True])
def test_state_out_is_state_in(rule, two):
    layer = tnn.LSTM(4, 5, 2, bidirectional=two, momentum=RULES[rule]())
    x = torch.randn(7, 3, 4)
    assert len(layer(x)[1]) == 2
    start = layer.initial_state(3)
    out, state = layer(x, start)
    assert len(state) == 3
    for before, after in zip(start[2], state[2], strict=True):
        assert type(before) is type(after)
        assert [t.shape for t in before] == [t.shape for t in after]
        assert [t.dtype for t in before] == [t.dtype for t in after]
    torch.testing.assert_close(out, layer(x)[0])
    alone, alone_state = layer(x[:, 0], layer.initial_state())
    torch.testing.assert_close(alone, out[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone_state[2][0][0], state[2][0][0][0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("cell", [tnn.LSTM, tnn.GRU])
@pytest.mark.parametrize("rule", [name for name in RULES if name != "none"])
def test_batches_of_streams_are_each_stream_alone(rule, cell, packed, dtype):
    """From states of their own, in no order, through lengths with a one among them."""
    layer = cell(4, 5, momentum=RULES[rule](), dtype=dtype)
    x, lengths = torch.randn(14, 4, 4, dtype=dtype), torch.tensor([3, 1, 6, 2])
    _, state = layer(x[:3], layer.initial_state(4))
    first = x[3:9]
    if packed:
        given = nn.utils.rnn.pack_padded_sequence(first, lengths, enforce_sorted=False)
        packed_out, state = layer(given, state)
        out, _ = nn.utils.rnn.pad_packed_sequence(packed_out, total_length=6)
    else:
        out, state = layer(first, state, lengths=lengths)
    ends, state = layer(x[9:11], state)
    rest, _ = layer(x[11:], state)
    for k, length in enumerate(lengths.tolist()):
        alone = torch.cat([x[:3, k], first[:length, k], x[9:, k]])
        expected, _ = layer(alone)
        found = torch.cat([out[:length, k], ends[:, k], rest[:, k]])
        torch.testing.assert_close(found, expected[3:], rtol=0, atol=1e-5)


def test_names_have_honest_signatures():
    parameters = list(inspect.signature(tnn.AdamLSTM).parameters)
    original = list(inspect.signature(tnn.LSTM).parameters)
    original.remove("momentum")
    assert parameters == [*original, "mu", "step_size", "beta", "eps", "learnable", "space"]
    assert inspect.signature(tnn.SRLSTM).parameters["restart"].default == 40
    with pytest.raises(TypeError, match="unexpected keyword argument 'restart'"):
        tnn.MomentumLSTM(3, 4, restart=4)
    layer = tnn.MomentumLSTM(3, 4, 2, False, True, mu=0.3, step_size=0.1)
    assert (layer.num_layers, layer.bias, layer.batch_first) == (2, False, True)
    assert (layer.momentum.mu, layer.momentum.step_size) == (0.3, 0.1)
    assert nn.utils.skip_init(tnn.SRLSTM, 3, 4).weight_ih_l0.shape == (16, 3)


def test_learned_momentum_trains_and_loads():
    layer = tnn.MomentumLSTM(3, 4, mu=0.6, step_size=0.9, learnable=True)
    assert {"momentum.log_step_size", "momentum.logit_mu"} < set(layer.state_dict())
    layer(torch.randn(5, 2, 3))[0].sum().backward()
    assert layer.momentum.logit_mu.grad.abs() > 0
    original = nn.LSTM(3, 4)
    layer.load_state_dict(original.state_dict())  # its own momentum is kept
    assert layer.momentum.mu.item() == pytest.approx(0.6)
    original.load_state_dict(layer.state_dict(), strict=False)


def test_learned_momentum_stays_below_one_in_half_precision():
    rule = tnn.Momentum(0.9999, 1.0, learnable=True)
    assert rule.to(torch.bfloat16).mu < 1.0
    layer = tnn.LSTM(3, 4, momentum=tnn.Momentum(0.6, 0.9, learnable=True), dtype=torch.bfloat16)
    assert layer.momentum.logit_mu.dtype == torch.float32
    layer(torch.ones(5, 2, 3, dtype=torch.bfloat16))[0].sum().backward()
    assert layer.momentum.logit_mu.grad.isfinite()


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_batch(rule):
    layer = tnn.LSTM(3, 4, momentum=RULES[rule]())
    out, _ = layer(torch.zeros(5, 0, 3))
    assert out.shape == (5, 0, 4)


def test_the_returned_state_does_not_hold_the_sequence():
    layer = tnn.MomentumLSTM(3, 4)
    _, state = layer(torch.randn(1000, 2, 3), layer.initial_state(2))
    velocity = state[2][0].velocity
    assert velocity.untyped_storage().nbytes() == velocity.numel() * 4


def test_a_replaced_or_parametrized_weight_has_effect():
    layer, x = tnn.MomentumLSTM(3, 4), torch.randn(5, 2, 3)
    before = layer(x)[0]
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(layer(x)[0], before)
    other = tnn.MomentumLSTM(3, 4)
    other.weight_ih_l0 = nn.Parameter(torch.zeros(16, 3))
    other.bias_ih_l0 = nn.Parameter(torch.zeros(16))
    torch.testing.assert_close(other(x)[0], other(torch.zeros_like(x))[0])
