"""States with momentum in one width, for code that keeps them in NumPy arrays and buffers."""

import numpy as np
import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.nn.test_carried import CUT, RULES, B, H, N, T, _close, _each, rules


def _rollout(lstm, x, starts, horizon):
    """What recurrent reinforcement learning keeps: states in NumPy, of ``hidden_size`` features."""
    shape = (horizon, 2, lstm.num_layers, x.shape[1], lstm.hidden_size)
    kept, outputs = np.zeros(shape, dtype=np.float32), []
    state = tuple(torch.zeros(shape[2:]) for _ in range(2))
    with torch.no_grad():
        for t in range(horizon):
            kept[t] = torch.stack(state).numpy()
            state = tuple((1.0 - starts[t]).view(1, -1, 1) * s for s in state)
            out, state = lstm(x[t : t + 1], state)
            outputs.append(out)
    return torch.cat(outputs), kept


@rules
def test_a_policy_agrees_in_rollout_and_training(rule):
    """Training begins in the midst of episodes, from states that were NumPy arrays."""
    layer = tnn.LSTM(N, H, 2, momentum=RULES[rule]())
    lstm, first = tnn.FlatState(layer), 5
    x, starts = torch.randn(T, B, N), (torch.rand(T, B) < 0.2).float()
    starts[0] = 1.0
    acted, kept = _rollout(lstm, x, starts, T)
    state = tuple(torch.from_numpy(kept[first]))
    for t in range(first, T):
        state = tuple((1.0 - starts[t]).view(1, -1, 1) * s for s in state)
        out, state = lstm(x[t : t + 1], state)
        torch.testing.assert_close(out[0], acted[t], rtol=1e-6, atol=1e-6)
    out.sum().backward()
    assert all(p.grad is not None for p in lstm.parameters())


@pytest.mark.parametrize("cell", [tnn.LSTM, tnn.GRU])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True}])
def test_a_flat_state_holds_all(cell, options):
    layer = cell(N, H, 2, momentum=tnn.Nesterov(0.5, restart=3), **options)
    flat, x = tnn.FlatState(layer), torch.randn(T, B, N)
    batch = T if options.get("batch_first") else B
    explicit = layer(x, layer.initial_state(batch))[1]
    out, state = flat(x)
    assert out.shape == layer(x)[0].shape
    h = state[0] if isinstance(state, tuple) else state
    assert h.shape == (layer._form.layers, batch, flat.hidden_size)
    _close(h[..., :H], explicit[0])
    saved = _each(lambda s: torch.tensor(s.detach().numpy().tolist()), state)
    _close(flat(x, saved)[0], layer(x, explicit)[0])
    narrow = _each(lambda s: s[..., :H], saved)  # begins without momentum
    fresh = (*explicit[:-1], layer.initial_state(batch)[-1])
    _close(flat(x, narrow)[0], layer(x, fresh)[0])


def test_a_flat_state_of_a_projection_and_of_lengths():
    layer = tnn.LSTM(1, 9, bias=False, proj_size=2, momentum=tnn.Momentum(0.9, 0.9))
    flat, x, lengths = tnn.FlatState(layer), torch.randn(T, B, 1), torch.tensor([9, 4, 6, 5, 7])
    out, state = flat(x, lengths=lengths)
    _close(out, layer(x, lengths=lengths)[0])
    assert [part.shape[-1] for part in state] == [flat.hidden_size] * 2
    more = torch.randn(2, B, 1)
    _close(flat(more, state)[0], layer(more, layer(x, lengths=lengths)[1])[0])


def test_a_flat_state_of_half_precision_is_in_float32():
    """In bfloat16 a count would stand still at 256, and a velocity lose small terms."""
    layer = tnn.LSTM(N, H, momentum=tnn.Nesterov(0.5, restart=1000)).bfloat16()
    flat, x = tnn.FlatState(layer), torch.randn(301, B, N).bfloat16()
    out, (h, c) = flat(x[:300])
    assert (out.dtype, h.dtype, c.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert h[0, :, -1].tolist() == [300.0] * B
    explicit = layer(x[:300], layer.initial_state(B))[1]
    assert torch.equal(flat(x[300:], (h, c))[0], layer(x[300:], explicit)[0])


def test_a_flat_state_without_batch_and_wrong_ones():
    flat = tnn.FlatState(tnn.LSTM(N, H, momentum=tnn.Nesterov(0.5, restart=3)))
    x = torch.randn(T, N)
    _close(flat(x[CUT:], flat(x[:CUT])[1])[0], flat(x)[0][CUT:])
    wrong = torch.zeros(1, H + 1)
    with pytest.raises(ValueError, match=f"must have {flat.hidden_size} features.*got 5, 5"):
        flat(x, (wrong, wrong))
    with pytest.raises(TypeError, match=r"LSTM: hx must be \(h, c\) .*got int"):
        flat(x, 5)
    deeper = torch.zeros(2, flat.hidden_size)
    with pytest.raises(ValueError, match="the state must be of 1 layers and directions"):
        flat(x, (deeper, deeper))
    for layer in (nn.LSTM(N, H), tnn.LSTM(N, H)):
        with pytest.raises(TypeError, match="with a momentum rule, got LSTM"):
            tnn.FlatState(layer)
