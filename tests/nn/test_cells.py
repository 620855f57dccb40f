from typing import NamedTuple

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.nn import _compute
from torchmomentum.ops import Modifiers, available, compiled_step
from torchmomentum.ops.cells import Cell, Extra, recurrent


@pytest.mark.parametrize(
    ("cell_type", "layer_type"),
    [(tnn.LSTMCell, tnn.LSTM), (tnn.GRUCell, tnn.GRU), (tnn.RNNCell, tnn.RNN)],
)
@pytest.mark.parametrize(
    "rule",
    [
        tnn.Momentum(0.6, 0.9),
        tnn.Nesterov(0.9, 3),
        tnn.NesterovLookahead(0.9, 3),
        tnn.Adam(),
        tnn.RMSProp(),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_step_by_step_is_the_layer(cell_type, layer_type, rule, bias):
    cell = cell_type(3, 5, bias, momentum=rule, dtype=torch.float64)
    layer = layer_type(3, 5, bias=bias, momentum=rule, dtype=torch.float64)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    hidden = v = None
    outputs = []
    for step in x:
        out, hidden, v = cell(step, hidden, v)
        outputs.append(out)
    torch.testing.assert_close(torch.stack(outputs), layer(x)[0], rtol=0, atol=1e-12)


def test_the_listings_form():
    """Appendix F: h, (h, c), v = cell(x, (h, c), v) with v in gate space."""
    cell = tnn.MomentumLSTMCell(3, 4, mu=0.6, step_size=0.5, dtype=torch.float64)
    x, h, c, v = (torch.randn(2, n, dtype=torch.float64) for n in (3, 4, 4, 16))
    out, (new_h, new_c), new_v = cell(x, (h, c), v)
    expected_v = 0.6 * v + 0.5 * (x @ cell.weight_ih.T + cell.bias_ih)
    i, f, g, o = (expected_v + h @ cell.weight_hh.T + cell.bias_hh).chunk(4, 1)
    expected_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    torch.testing.assert_close(new_v, expected_v)
    torch.testing.assert_close(new_c, expected_c)
    torch.testing.assert_close(new_h, o.sigmoid() * expected_c.tanh())
    assert out is new_h


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    "rule",
    [
        tnn.Momentum(0.6, 0.9),
        tnn.NesterovLookahead(0.9, 3),
        tnn.Adam(),
        tnn.Momentum(learnable=True),
    ],
)
def test_types(rule, dtype):
    cell = tnn.LSTMCell(3, 4, momentum=rule, dtype=dtype)
    x, hidden, v = torch.ones(2, 3, dtype=dtype), None, None
    for _ in range(3):
        out, hidden, v = cell(x, hidden, v)
    assert out.dtype == dtype
    assert out.isfinite().all()


def test_wrong_calls_are_named():
    cell = tnn.MomentumLSTMCell(3, 4)
    x, h = torch.zeros(2, 3), torch.zeros(2, 4)
    with pytest.raises(ValueError, match="LSTMCell: Expected input to be 2D, got 3D"):
        cell(torch.zeros(1, 2, 3))
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        cell(torch.zeros(2, 4))
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(2, 4\), got \[2, 5\]"):
        cell(x, (h, torch.zeros(2, 5)))
    with pytest.raises(TypeError, match=r"hidden must be \(h, c\), got Tensor"):
        cell(x, h)
    with pytest.raises(RuntimeError, match=r"Expected v size \(2, 16\), got \[2, 4\]"):
        cell(x, (h, h), h)
    with pytest.raises(TypeError, match=r"v must be 2 tensor\(s\), AdamState, got tuple"):
        tnn.AdamLSTMCell(3, 4)(x, (h, h), (torch.zeros(2, 16),))
    with pytest.raises(TypeError, match="GRUCell: hidden must be a tensor, got tuple"):
        tnn.GRUCell(3, 4, momentum=tnn.Momentum())(x, (h,))
    with pytest.raises(ValueError, match="hidden_size must be greater than zero"):
        tnn.MomentumLSTMCell(3, 0)
    with pytest.raises(TypeError, match=r"momentum must be a rule such as .*, got float"):
        tnn.GRUCell(3, 4, momentum=0.5)


@pytest.mark.parametrize("cell_type", [tnn.LSTMCell, tnn.GRUCell, tnn.RNNCell])
def test_initial_draws_are_torchs(cell_type):
    original = getattr(torch.nn, cell_type.__name__)
    torch.manual_seed(3)
    expected = original(3, 4).state_dict()
    torch.manual_seed(3)
    found = cell_type(3, 4, momentum=tnn.Momentum()).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("rule", [tnn.Momentum(0.6, 0.9), tnn.Nesterov(0.9, 3), tnn.Adam()])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell_type", [tnn.LSTMCell, tnn.GRUCell, tnn.RNNCell])
def test_a_stream_without_gradients_is_the_same(cell_type, bias, rule):
    cell = cell_type(3, 5, bias, momentum=rule)
    xs = torch.randn(6, 2, 3)
    with_gradients = _stream(cell, xs)
    kept = [t.clone() for t in (xs, *cell.parameters())]
    with torch.inference_mode():
        without = _stream(cell, xs)
    for a, b in zip(with_gradients, without, strict=True):
        torch.testing.assert_close(a.detach(), b)
    for a, b in zip((xs, *cell.parameters()), kept, strict=True):
        assert torch.equal(a, b)


def _stream(cell, xs):
    hidden, v, seen = None, None, []
    for x in xs:
        before = [] if v is None else [t.clone() for t in ([v] if torch.is_tensor(v) else v)]
        given = v
        out, hidden, v = cell(x, hidden, v)
        for old, copy in zip(
            [given] if torch.is_tensor(given) else given or [], before, strict=True
        ):
            assert torch.equal(old, copy)  # a state that was handed over stays as it was
        seen += [out, *(hidden if isinstance(hidden, tuple) else [hidden])]
        seen += [v] if torch.is_tensor(v) else [t for t in v if t.is_floating_point()]
    return seen


@pytest.mark.parametrize("rule", [tnn.Adam(), tnn.Momentum(0.6, 0.9)])
def test_a_stream_under_autocast(rule):
    cell, x = tnn.RNNCell(3, 37, momentum=rule), torch.randn(64, 3)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        out, _, _ = cell(x)
    # a drive close to zero may have another sign in bfloat16, and Adam's first step shows it
    apart = (out.float() - cell(x)[0].detach()).abs() > 2e-2
    assert apart.float().mean() < 0.01


def test_a_rule_whose_output_is_its_memory():
    class Shared(tnn.Rule):
        def initial_state(self, batch_size, width, **options):
            return (torch.zeros(batch_size, width, **options),)

        def step(self, drive, state):
            v = 0.5 * state[0] + drive
            return v, (v[:],)

    cell, x = tnn.LSTMCell(3, 5, momentum=Shared()), torch.randn(2, 3)
    expected = cell(x)[2]
    with torch.no_grad():
        torch.testing.assert_close(cell(x)[2], expected.detach())


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")  # is deprecated
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of the checks of sizes
def test_a_step_is_not_traced_through_a_kernel():
    """jit.trace and make_fx record operations: a kernel would read memory that is not there."""
    from torch.fx.experimental.proxy_tensor import make_fx

    cell, x = tnn.MomentumLSTMCell(3, 4), torch.randn(2, 3)
    other = torch.randn(2, 3)
    with torch.no_grad():
        traced = torch.jit.trace(cell, x, check_trace=False)
        captured = make_fx(cell, tracing_mode="real")(x)
        for function in (traced, captured):
            torch.testing.assert_close(function(other)[0], cell(other)[0])


class OneState(NamedTuple):
    v: torch.Tensor


class Named(tnn.Rule):
    """A state of one tensor that has a name."""

    def initial_state(self, batch_size, width, *, device=None, dtype=None):
        return OneState(torch.zeros(batch_size, width, device=device, dtype=dtype))

    def step(self, drive, state):
        v = 0.5 * state.v + drive
        return v, OneState(v)


def test_a_named_state_of_one_keeps_its_type():
    cell, x = tnn.GRUCell(3, 4, momentum=Named()), torch.randn(5, 2, 3)
    layer = tnn.GRU(3, 4, momentum=Named())
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    hidden = momentum = None
    for x_t in x:
        out, hidden, momentum = cell(x_t, hidden, momentum)
    torch.testing.assert_close(out, layer(x)[0][-1])


class Counting(Named):
    """Reads the hidden state, and its first state is a count."""

    reads_hidden = True

    def initial_state(self, batch_size, width, **options):
        return self.cell_state(batch_size, width, 0, **options)

    def cell_state(self, batch_size, width, hidden_size, *, device=None, dtype=None):
        steps = torch.zeros(batch_size, dtype=torch.long, device=device)
        return steps, torch.zeros(batch_size, hidden_size, device=device, dtype=dtype)

    def step(self, drive, state):
        return drive, (state[0] + 1, state[1])

    def modifiers(self, state):
        return Modifiers(steps=state[0], previous=state[1])

    def follow(self, state, hidden):
        return state[0], hidden.to(state[1].dtype)


def test_a_rules_first_state_may_be_a_count():
    layer, x = tnn.LSTM(3, 4, momentum=Counting()), torch.randn(5, 2, 3)
    cell = tnn.LSTMCell(3, 4, momentum=layer.momentum)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    hidden = momentum = None
    for x_t in x:
        out, hidden, momentum = cell(x_t, hidden, momentum)
    torch.testing.assert_close(out, layer(x)[0][-1])


def test_what_is_missing_is_told():
    class NoStep(tnn.Rule):
        def initial_state(self, *sizes, **options):
            return ()

    class NoCell(tnn.RecurrentCell):
        pass

    with pytest.raises(TypeError, match="the rule NoStep must have a method step"):
        tnn.LSTM(3, 4, momentum=NoStep())
    with pytest.raises(TypeError, match="NoCell must name its cell"):
        NoCell(3, 4, momentum=tnn.Adam())


class Leaky(tnn.RecurrentCell):
    """A cell with a weight of its own."""

    cell = Cell(
        "LEAKY",
        gates=1,
        step=lambda pre, state, weights, operand, modifiers: (
            torch.tanh(pre + recurrent(weights, operand, modifiers)) * weights.extra["leak"],
        ),
        extra=(Extra("leak", lambda h, rows: (h,)),),
    )


def test_a_cells_own_weight_is_drawn_as_torchs_are():
    torch.manual_seed(0)
    drawn = Leaky(3, 400, momentum=tnn.Momentum()).leak.detach()
    bound = 400**-0.5
    assert drawn.abs().max() < bound
    assert drawn.max() > 0.95 * bound > -0.95 * bound > drawn.min()
    assert drawn.std() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("wrong", [2.0, True, "3"])
def test_sizes_are_whole_numbers(wrong):
    for sizes in ((wrong, 4), (3, wrong)):
        with pytest.raises(TypeError, match="should be of type int, got"):
            tnn.LSTMCell(*sizes, momentum=tnn.Adam())
    with pytest.raises(ValueError, match="hidden_size must be greater than zero"):
        tnn.LSTMCell(3, 0, momentum=tnn.Adam())


def test_each_part_of_a_state_is_a_tensor():
    cell = tnn.LSTMCell(3, 4, momentum=tnn.Adam())
    for hidden in ((torch.zeros(2, 4), 0.0), (None, torch.zeros(2, 4)), torch.zeros(2, 4), [1]):
        with pytest.raises(TypeError, match=r"hidden must be \(h, c\), got"):
            cell(torch.zeros(2, 3), hidden)


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize(
    ("rule", "calls"), [(tnn.Momentum(), 1), (tnn.Adam(), 1), (tnn.NesterovLookahead(), 0)]
)
def test_a_stream_without_gradients_is_stepped_by_the_kernel(rule, calls, monkeypatch):
    """But for what reads a hidden state of its own."""
    called = []

    def observed(*arguments):
        called.append(arguments)
        return compiled_step(*arguments)

    monkeypatch.setattr(_compute, "compiled_step", observed)
    cell, x = tnn.LSTMCell(3, 4, momentum=rule), torch.randn(2, 3)
    expected = cell(x)[0]
    assert called == []
    with torch.no_grad():
        torch.testing.assert_close(cell(x)[0], expected)
    assert len(called) == calls


def test_a_cell_without_a_rule_is_refused():
    with pytest.raises(TypeError, match=r"momentum must be a rule such as .*, got NoneType"):
        tnn.LSTMCell(3, 4, momentum=None)


def test_a_cells_own_weight_is_made_where_the_others_are():
    cell = Leaky(3, 4, device="meta", dtype=torch.float64, momentum=tnn.Momentum())
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.float64)}


def test_a_count_in_a_rules_state_keeps_no_stream_from_the_kernel(monkeypatch):
    served = []
    monkeypatch.setattr(_compute, "compiled_step_serves", lambda *given: served.append(given))
    with torch.no_grad():
        tnn.LSTMCell(3, 4, momentum=tnn.Nesterov())(torch.randn(2, 3))
    ((_, tensors),) = served
    assert all(t is None or t.is_floating_point() for t in tensors)
    assert len(tensors) == 1 + 2 + 1 + 4  # input, states, velocity, weights
