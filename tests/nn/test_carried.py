"""States that carry momentum through the hands of code that knows of ``(h, c)`` alone."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import torchmomentum.nn as tnn
from torchmomentum.nn._carried import packed, unpacked

T, B, N, H, CUT = 9, 5, 3, 4, 4
RULES = {
    "momentum": lambda: tnn.Momentum(0.9, 0.9),
    "nesterov": lambda: tnn.Nesterov(0.5, restart=3),
    "adam": lambda: tnn.Adam(),
    "rmsprop": lambda: tnn.RMSProp(),
    "lookahead": lambda: tnn.NesterovLookahead(0.9, restart=4),
}
CELLS = {"lstm": tnn.LSTM, "gru": tnn.GRU, "rnn": tnn.RNN, "mingru": tnn.MinGRU, "lru": tnn.LRU}
rules = pytest.mark.parametrize("rule", RULES)
ORDER = torch.tensor([3, 1, 0, 2, 4])


def _each(change, state):
    return tuple(map(change, state)) if isinstance(state, tuple) else change(state)


def _close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("cell", CELLS)
@rules
def test_goes_on_where_the_caller_keeps_what_was_returned(cell, rule):
    if rule == "lookahead" and cell in ("mingru", "lru"):
        pytest.skip("it needs recurrent weights")
    layer = CELLS[cell](N, H, 2, momentum=RULES[rule]())
    x = torch.randn(T, B, N)
    whole, end = layer(x)
    out, state = layer(x[:CUT])
    for t in range(CUT, T):  # truncated backpropagation, as examples of PyTorch write it
        step, state = layer(x[t : t + 1], _each(lambda s: s.detach(), state))
        out = torch.cat([out, step])
    _close(out, whole)
    _close(state, end)
    fresh, _ = layer(x[CUT:])
    assert (fresh - whole[CUT:]).abs().max() > 1e-3  # what a loss of the state would look like


# what callers do to states between calls, and the batch that they mean by it
HANDS = {
    "clone": (lambda s: s.clone(), slice(None)),
    "index": (lambda s: s[:, ORDER], ORDER),
    "index_select": (lambda s: s.index_select(1, ORDER), ORDER),
    "slice": (lambda s: s[:, 1:3].contiguous(), slice(1, 3)),
    "mask": (lambda s: s[:, ORDER > 1], ORDER > 1),
    "stack": (lambda s: torch.stack(s.unbind(0)), slice(None)),
    "cat": (lambda s: torch.cat([s[:, 2:], s[:, :2]], 1), torch.tensor([2, 3, 4, 0, 1])),
    "batch first": (
        lambda s: s.transpose(0, 1).contiguous().permute(1, 0, 2).contiguous(),
        slice(None),
    ),
    "per sequence": (
        lambda s: torch.cat([row.squeeze(1).unsqueeze(1) for row in s.split(1, 1)], 1),
        slice(None),
    ),
    "beams": (lambda s: s.repeat_interleave(2, 1), torch.arange(B).repeat_interleave(2)),
    "dict of CPU tensors": (lambda s: {"s": s.cpu()}["s"].to("cpu"), slice(None)),
}


@rules
@pytest.mark.parametrize("hands", HANDS)
def test_what_callers_do_to_states_is_done_to_the_momentum(rule, hands):
    change, batch = HANDS[hands]
    layer = tnn.LSTM(N, H, 2, momentum=RULES[rule]())
    x = torch.randn(T, B, N)
    whole = layer(x)[0][CUT:, batch]
    found, _ = layer(x[CUT:, batch], _each(change, layer(x[:CUT])[1]))
    _close(found, whole)


RESETS = {  # where an episode ends, as code of reinforcement learning writes it
    "product": lambda s, done: (1.0 - done.float()).view(1, -1, 1) * s,
    "product in place": lambda s, done: s.mul_((~done).float().view(1, -1, 1)),
    "where": lambda s, done: torch.where(done.view(1, -1, 1), 0.0, s),
    "where, states": lambda s, done: torch.where(done.view(-1, 1), torch.zeros_like(s), s),
    "masked_fill": lambda s, done: s.masked_fill(done.view(1, -1, 1), 0.0),
    "masked_scatter": lambda s, done: s.masked_scatter(done.view(1, -1, 1), torch.zeros(2, B, H)),
    "written": lambda s, done: _written(s, done, 0.0),
    "written states": lambda s, done: _written(s, done, torch.zeros(2, int(done.sum()), H)),
}


def _written(s, done, value):
    s = s.clone()
    s[:, done] = value
    return s


@rules
@pytest.mark.parametrize("reset", RESETS)
def test_a_state_that_is_reset_has_no_momentum(rule, reset):
    layer = tnn.LSTM(N, H, 2, momentum=RULES[rule]())
    x, done = torch.randn(T, B, N), torch.tensor([True, False, False, True, False])
    with torch.no_grad():
        state = _each(lambda s: RESETS[reset](s, done), layer(x[:CUT])[1])
        found, _ = layer(x[CUT:], state)
        _close(found[:, ~done], layer(x)[0][CUT:, ~done])
        _close(found[:, done], layer(x[CUT:])[0][:, done])


def test_what_belongs_to_no_operation_is_not_carried():
    h = tnn.GRU(N, N, momentum=tnn.Momentum(0.9, 0.9), bias=False)(torch.randn(T, B, N))[1]
    assert h.momentum_features().shape == (1, B, N)  # as wide as h: shapes cannot tell
    for change in (
        lambda h: h + h,
        lambda h: h * torch.randn(N),
        lambda h: h * (torch.rand(B, N) < 0.5),
        lambda h: torch.where(torch.rand(B, N) < 0.5, h, 0.0),
        lambda h: torch.tanh(h),
        lambda h: h.reshape(-1),
        lambda h: torch.cat([h, h], -1),
        lambda h: h[..., :2],
        lambda h: h.sum(),
        lambda h: nn.Linear(N, N)(h),
    ):
        assert type(change(h)) is torch.Tensor
    assert h.detach().requires_grad is False
    assert h.detach().momentum_features().requires_grad is False
    assert h.half().momentum_features().dtype == torch.float32


def test_a_state_that_is_written_anew_has_no_momentum_whatever_is_written():
    h = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9))(torch.randn(T, B, N))[1].detach()
    before = h.momentum_features().clone()
    kept = h.clone()
    kept[:, 1] = 0.5
    filled = h.masked_fill((torch.arange(B) == 1).view(-1, 1), 0.5)
    before[:, 1] = 0.0
    assert torch.equal(kept.momentum_features(), before)
    assert torch.equal(filled.momentum_features(), before)


def test_the_states_of_two_layers_together_carry_nothing():
    first, second = (
        tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9))(torch.randn(T, B, N))[1] for _ in range(2)
    )
    assert type(torch.cat([first, second], 1)) is torch.Tensor
    assert type(torch.cat([first, first], 1)) is type(first)


def test_gradients_reach_through_the_momentum():
    layer = tnn.LSTM(N, H, momentum=tnn.Momentum(0.9, 0.9, learnable=True), dtype=torch.float64)
    x, results = torch.randn(T, B, N, dtype=torch.float64), []
    for cut in (T, CUT):
        out, state = layer(x[:cut])
        if cut < T:
            out = torch.cat([out, layer(x[cut:], (state[0].clone(), state[1]))[0]])
        results.append(torch.autograd.grad(out.square().sum(), list(layer.parameters())))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@rules
@pytest.mark.parametrize("change", [lambda s: s, torch.clone], ids=["untouched", "clone"])
def test_unbatched(rule, change):
    layer = tnn.LSTM(N, H, 2, momentum=RULES[rule]())
    x = torch.randn(T, N)
    state = layer(x[:CUT])[1]
    _close(layer(x[CUT:], _each(change, state))[0], layer(x)[0][CUT:])


@rules
def test_an_empty_batch(rule):
    layer, x = tnn.LSTM(N, H, momentum=RULES[rule]()), torch.randn(T, 0, N)
    _, (h, c) = layer(x)
    out, (h, _) = layer(x, (h * torch.ones(0, 1), c))
    assert out.shape == (T, 0, H)
    assert type(h) is tnn.CarriedTensor


def test_packed():
    layer = tnn.LSTM(N, H, 2, momentum=tnn.Nesterov(0.5, restart=3))
    x, lengths = torch.randn(T, B, N), torch.tensor([4, 2, 3, 4, 1])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    _, state = layer(packed)
    found, _ = layer(x[CUT:], state)
    for i, length in enumerate(lengths.tolist()):
        alone = layer(torch.cat([x[:length, i], x[CUT:, i]]))[0]
        _close(found[:, i], alone[length:])
    again = layer(pack_padded_sequence(x[CUT:], lengths, enforce_sorted=False), state)[1]
    _close(again[0][:, 0], layer(torch.cat([x[:4, 0], x[CUT : CUT + 4, 0]]))[1][0])


def test_copies_of_a_layer_and_of_a_state_go_on():
    layer = tnn.LSTM(N, H, momentum=tnn.Adam())
    x = torch.randn(T, B, N)
    with torch.no_grad():
        whole, state = layer(x)[0], layer(x[:CUT])[1]
        for other, held in (
            (copy.deepcopy(layer), state),
            (pickle.loads(pickle.dumps(layer)), state),
            (layer, copy.deepcopy(state)),
        ):
            _close(other(x[CUT:], held)[0], whole[CUT:])
    h = pickle.loads(pickle.dumps(state[0]))
    assert type(h) is torch.Tensor


def _told(layer, x, state):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        layer(x, state)
    return [str(w.message) for w in told]


def test_a_loss_is_told_once_with_its_remedy():
    layer = tnn.MomentumLSTM(N, H)
    x = torch.randn(T, B, N)
    zero, lost = (
        torch.zeros(1, B, H),
        _each(lambda s: torch.tensor(s.detach().numpy()), layer(x)[1]),
    )
    assert _told(layer, x, (zero, zero)) == []  # nothing is lost
    with pytest.warns(UserWarning, match=r"MomentumLSTM: the state .*\.FlatState") as told:
        layer(x, lost)
    assert told[0].filename == __file__
    assert _told(layer, x, lost) == []
    assert _told(copy.deepcopy(tnn.LSTM(N, H)), x, lost) == []  # has no momentum to lose


def test_a_loss_shows_in_any_part_of_a_state():
    zero, lost = torch.zeros(1, B, H), torch.ones(1, B, H)
    for state in ((zero, lost), (lost, zero)):
        assert len(_told(tnn.MomentumLSTM(N, H), torch.randn(T, B, N), state)) == 1


def test_states_without_values_are_not_looked_at():
    layer = tnn.MomentumLSTM(N, H, device="meta")
    state = torch.empty(1, B, H, device="meta")
    assert _told(layer, torch.empty(T, B, N, device="meta"), (state, state)) == []


@rules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_momentum_as_features_is_exact(rule, dtype):
    layer = tnn.LSTM(N, H, 2, momentum=RULES[rule](), dtype=dtype)
    x = torch.randn(T, B, N, dtype=dtype)
    held = layer(x, layer.initial_state(B, dtype=dtype))[1][-1]
    found = unpacked(packed(held, (B,)), layer._fresh_momentum(B, device="meta"))
    torch.testing.assert_close(found, held, rtol=0, atol=0)  # types too


def test_what_lost_its_momentum_is_treated_as_any_tensor():
    layer, x = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    with torch.no_grad():
        h, lost = (layer(x)[1] for _ in range(2))
        lost.clamp_(0.0, 0.0)
        assert type(lost.double()) is torch.Tensor
        assert type(torch.cat([h, lost], 1)) is torch.Tensor
        assert torch.equal(torch.cat([h, lost], 1)[:, :B], h)


def test_a_factor_in_a_tensor_scales_all():
    layer, x = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    h = layer(x)[1]
    for factor in (torch.tensor(0.5), torch.full((B, 1), 0.5)):
        torch.testing.assert_close((h * factor).momentum_features(), h.momentum_features() / 2)


def test_a_deep_copy_has_memory_of_its_own():
    layer, x = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    with torch.no_grad():
        h = layer(x[:CUT])[1]
        kept = copy.deepcopy(h)
        h.zero_()
        _close(layer(x[CUT:], kept)[0], layer(x)[0][CUT:])


@pytest.mark.parametrize(("looks", "told"), [(15, 1), (16, 0)])
def test_no_more_than_sixteen_states_are_looked_at(looks, told):
    """Each look waits for a GPU."""
    layer, x = tnn.MomentumLSTM(N, H), torch.randn(T, B, N)
    zero, lost = torch.zeros(1, B, H), torch.ones(1, B, H)
    for _ in range(looks):
        assert _told(layer, x, (zero, zero)) == []
    assert len(_told(layer, x, (lost, lost))) == told


def test_the_state_of_another_layer_begins_without_momentum_and_without_a_word():
    encoder, decoder = (tnn.LSTM(N, H, momentum=tnn.Momentum(0.9, 0.9)) for _ in range(2))
    x, zero = torch.randn(T, B, N), decoder.initial_state(B)[2]
    h, c = encoder(x)[1]
    assert _told(decoder, x, (h, c)) == []
    _close(decoder(x, (h, c))[0], decoder(x, (h.as_subclass(torch.Tensor), c, zero))[0])


def test_a_rule_without_state_and_a_layer_without_rule_carry_nothing():
    for layer in (tnn.LSTM(N, H), tnn.LSTM(N, H, momentum=tnn.Gain(2.0))):
        h, c = layer(torch.randn(T, B, N))[1]
        assert type(h) is type(c) is torch.Tensor
        assert _told(layer, torch.randn(T, B, N), (h, c)) == []


def test_what_initial_state_began_stays_as_it_is():
    layer = tnn.LSTM(N, H, momentum=tnn.Adam())
    _, state = layer(torch.randn(T, B, N), layer.initial_state(B))
    assert len(state) == 3
    assert type(state[0]) is torch.Tensor


@torch.no_grad()
def test_a_captured_decoder_without_a_rule_takes_what_others_carry():
    encoder, decoder = tnn.MomentumLSTM(N, H, mu=0.9), tnn.LSTM(N, H)
    x = torch.randn(T, B, N)
    state = encoder(x)[1]
    captured = torch.compile(decoder, fullgraph=True, backend="eager")
    _close(captured(x, state)[0], decoder(x, state)[0])


@torch.no_grad()
def test_graphs_carry_no_momentum_but_say_so():
    layer = tnn.LSTM(N, H, momentum=tnn.Momentum(0.9, 0.9))
    x = torch.randn(T, B, N)
    whole, state = layer(x)[0], layer(x[:CUT])[1]
    compiled = torch.compile(layer, backend="aot_eager")
    _close(compiled(x[CUT:], state)[0], whole[CUT:])  # after a graph break
    torch._dynamo.reset()
    full = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"begin with initial_state\(\)"):
        full(x[CUT:], state)
    _close(full(x[CUT:], full(x[:CUT], layer.initial_state(B))[1])[0], whole[CUT:])
    h, c = full(x[:CUT])[1]
    assert type(h) is torch.Tensor
    with pytest.warns(UserWarning, match=r"LSTM: in a captured graph .* initial_state\(\)"):
        full(x[CUT:], (h, c))
