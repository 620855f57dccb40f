"""``lengths=`` beside ``PackedSequence``: the same values, states and gradients."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchmomentum.nn as tnn
from tests.reference import layers

CELLS = {**layers.CELLS, "normalized lstm": layers.NORMALIZED["normalized lstm"]}
RULES = layers.EACH_KIND
LENGTHS = torch.tensor([3, 7, 1, 5])


def _flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state for tensor in _flat(part)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cell", CELLS)
def test_equals_packed(cell, rule, options, dtype):
    layer = CELLS[cell](3, 4, momentum=RULES[rule](), batch_first=True, **options).to(dtype)
    x = torch.randn(4, 7, 3, dtype=dtype, requires_grad=True)
    start = layer.initial_state(4) if rule != "none" else None
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, last = layer(packed, start)
    expected, _ = pad_packed_sequence(expected, batch_first=True, total_length=7)
    found, state = layer(x, start, lengths=LENGTHS)
    weights = torch.randn_like(found)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(found, expected, **close)
    for a, b in zip(_flat(state), _flat(last), strict=True):
        torch.testing.assert_close(a, b, **close)
    everything = [x, *layer.parameters()]
    grads = [torch.autograd.grad((y * weights).sum(), everything) for y in (found, expected)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cell", CELLS)
def test_padding_has_no_part(cell, rule):
    layer = CELLS[cell](3, 4, 2, momentum=RULES[rule](), bidirectional=True)
    x = torch.randn(7, 4, 3)
    padding = (torch.arange(7).unsqueeze(1) >= LENGTHS).unsqueeze(-1)
    spoiled = x.masked_fill(padding, float("nan")).requires_grad_()
    expected, _ = layer(x, lengths=LENGTHS)
    found, _ = layer(spoiled, lengths=LENGTHS.tolist())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert (found[padding.expand_as(found)] == 0).all()
    found.sum().backward()
    assert (spoiled.grad[padding.expand_as(x)] == 0).all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_the_originals_results():
    original = nn.LSTM(3, 4, bidirectional=True)
    layer = tnn.LSTM(3, 4, bidirectional=True)
    layer.load_state_dict(original.state_dict())
    x = torch.randn(7, 4, 3)
    out, (h, c) = original(pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
    found, (found_h, found_c) = layer(x, lengths=LENGTHS)
    torch.testing.assert_close(found, pad_packed_sequence(out, total_length=7)[0])
    torch.testing.assert_close(found_h, h)
    torch.testing.assert_close(found_c, c)


def test_projections():
    layer = tnn.MomentumLSTM(3, 4, proj_size=2)
    x = torch.randn(7, 4, 3)
    found, _ = layer(x, lengths=LENGTHS)
    for k, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[:length, k], layer(x[:length, k])[0])


def test_captured_with_dynamic_lengths():
    layer = tnn.MomentumLSTM(3, 4)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for time in (7, 9):
        x = torch.randn(time, 4, 3)
        expected = layer(x, lengths=LENGTHS)[0]
        torch.testing.assert_close(compiled(x, lengths=LENGTHS)[0], expected)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 7, 1], ValueError, r"shape \(4,\).*got \(3,\)"),
        ([3, 8, 1, 5], ValueError, r"in \[1, 7\], got 1 to 8"),
        ([3, 7, 0, 5], ValueError, r"in \[1, 7\], got 0 to 7"),
        ([3.0, 7.0, 1.0, 5.0], TypeError, "integers"),
    ],
)
def test_wrong_lengths(lengths, error, message):
    with pytest.raises(error, match=message):
        tnn.MomentumLSTM(3, 4)(torch.randn(7, 4, 3), lengths=lengths)


def test_lengths_of_what_has_them_already():
    x = torch.randn(7, 4, 3)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    with pytest.raises(ValueError, match="has its lengths in itself"):
        tnn.MomentumLSTM(3, 4)(packed, lengths=LENGTHS)
    with pytest.raises(ValueError, match="for a batch"):
        tnn.MomentumLSTM(3, 4)(x[:, 0], lengths=[7])


def test_the_original_takes_no_lengths():
    with pytest.raises(TypeError, match="lengths"):
        nn.LSTM(3, 4)(torch.randn(7, 4, 3), lengths=LENGTHS)


def test_a_linear_rule_filters_the_input_and_one_more():
    """It is narrower than the gates."""
    for rule in (tnn.Momentum(), tnn.Nesterov(), tnn.NesterovLookahead()):
        state = tnn.GRU(3, 4, momentum=rule).initial_state(2)[-1]
        assert state[0][0].shape == (2, 4)
    assert tnn.GRU(3, 4, momentum=tnn.Adam()).initial_state(2)[-1][0][0].shape == (2, 12)
