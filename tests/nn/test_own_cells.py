"""A cell from outside the package: its definition is all that a layer needs."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.ops.cells import RNN_MODRELU, Cell, recurrent
from torchmomentum.testing import check_rnn


def _mgu_step(pre, state, weights, operand, modifiers):
    forget_in, new_in = pre.chunk(2, -1)
    forget_h, new_h = recurrent(weights, operand, modifiers).chunk(2, -1)
    forget = torch.sigmoid(forget_in + forget_h)
    return (state[0] + forget * (torch.tanh(new_in + forget * new_h) - state[0]),)


class MGU(tnn.Recurrent):
    cell = Cell("MGU", gates=2, step=_mgu_step)


class MGUCell(tnn.RecurrentCell):
    cell = MGU.cell


def _delay_step(pre, state, weights, operand, modifiers):
    h, last, before = state
    new = torch.tanh(pre + recurrent(weights, operand, modifiers)) - before
    return new, h, last


class Delay(tnn.Recurrent):
    """Three states, the last two of them the h that were."""

    cell = Cell("DELAY", gates=1, step=_delay_step, states=("h", "last", "before"), norms=())


class ModReLU(tnn.Recurrent):
    cell = RNN_MODRELU


class False3(tnn.Recurrent):
    """As many gates as a GRU has, and its name: no reason to compute a GRU."""

    cell = Cell("GRU", gates=3, step=lambda pre, s, w, operand, m: (pre.chunk(3, -1)[0] + s[0],))


@pytest.mark.parametrize(
    ("cell", "rule", "skip"),
    [(MGU, "adam", []), (MGU, "released", ["gradients"]), (Delay, "released", ["gradients"])],
)
def test_the_contract(cell, rule, skip):
    check_rnn(partial(_made, cell, rule), skip=skip)


def _made(cell, rule, *args, **kwargs):
    return cell(*args, momentum=layers.RULES[rule](), **kwargs)


def _mgu_by_hand(x, momentum, w, u, b, c):
    v, h, outputs = 0.0, x.new_zeros(x.shape[1], u.shape[1]), []
    for x_t in x:
        v = momentum.mu * v + momentum.step_size * (x_t @ w.T + b)
        size = h.shape[1]
        f = (v[:, :size] + h @ u[:size].T + c[:size]).sigmoid()
        n = (v[:, size:] + f * (h @ u[size:].T + c[size:])).tanh()
        h = (1 - f) * h + f * n
        outputs.append(h)
    return torch.stack(outputs)


def test_equals_a_loop_in_both_directions_with_lengths():
    layer = MGU(3, 4, bidirectional=True, momentum=tnn.Momentum(0.6, 0.9), dtype=torch.float64)
    x, lengths = torch.randn(6, 3, 3, dtype=torch.float64, requires_grad=True), [4, 1, 6]
    found, h = layer(x, lengths=lengths)
    total = 0
    for k, length in enumerate(lengths):
        alone = x[:length, k : k + 1]
        ahead = _mgu_by_hand(alone, layer.momentum, *layer.all_weights[0])
        back = _mgu_by_hand(alone.flip(0), layer.momentum, *layer.all_weights[1])
        expected = torch.cat([ahead, back.flip(0)], -1)
        torch.testing.assert_close(found[:length, k], expected[:, 0], rtol=0, atol=1e-12)
        torch.testing.assert_close(h[:, k], torch.stack([ahead[-1, 0], back[-1, 0]]))
        total = total + expected.square().sum()
    inputs = [x, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad(found.square().sum(), inputs),
        torch.autograd.grad(total, inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("rule", ["momentum", "restarted", "released", "adam"])
def test_one_step_after_the_other_is_the_layer(rule):
    layer, cell = (make(3, 4, momentum=layers.RULES[rule]()) for make in (MGU, MGUCell))
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()})
    hidden = v = None
    x = torch.randn(6, 2, 3)
    for t, out in enumerate(layer(x)[0]):
        h, hidden, v = cell(x[t], hidden, v)
        torch.testing.assert_close(h, out)


def test_one_graph_for_all_lengths():
    layer = MGU(3, 4, momentum=tnn.Adam(), layer_norm=True)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for time in (5, 8):
        x = torch.randn(time, 2, 3)
        found, expected = compiled(x)[0], layer(x)[0]
        torch.testing.assert_close(found, expected)
        for grads in zip(
            *(torch.autograd.grad(y.square().sum(), layer.parameters()) for y in (found, expected)),
            strict=True,
        ):
            torch.testing.assert_close(*grads)


def test_further_weights_are_parameters_by_their_name():
    layer = ModReLU(3, 4, 2, bidirectional=True)
    names = [n for n, _ in layer.named_parameters()]
    assert names[4] == "bias_modrelu_l0"
    assert layer.bias_modrelu_l1_reverse.shape == (4,)
    assert len(layer.all_weights[3]) == 5
    with torch.no_grad():
        for name in names:
            if name.startswith("bias_modrelu"):
                getattr(layer, name).fill_(-100.0)  # nothing is that large
    assert not layer(torch.randn(5, 2, 3))[0].any()


def test_state_dicts_copies_and_printing():
    layer, x = MGU(3, 4, layer_norm=True, zoneout=0.1).eval(), torch.randn(5, 2, 3)
    other = MGU(3, 4, layer_norm=True, zoneout=0.1).eval()
    other.load_state_dict(layer.state_dict())
    for copied in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x)[0], layer(x)[0])
        assert copied.cell is MGU.cell
    assert repr(layer) == "MGU(3, 4, zoneout_h=0.1, layer_norm=True)"
    assert isinstance(layer, nn.RNNBase)
    assert layer.mode == "MGU"
    layer.flatten_parameters()


def test_weights_are_flattened_for_the_cells_that_cudnn_knows(monkeypatch):
    flattened = []
    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", lambda self: flattened.append(self))
    layers = [tnn.MomentumLSTM(3, 4), tnn.GRU(3, 4), tnn.RNN(3, 4, nonlinearity="relu")]
    for layer in (MGU(3, 4), False3(3, 4)):
        layer.double()
        layer.flatten_parameters()
    assert len(flattened) == 3
    assert all(a is b for a, b in zip(flattened, layers, strict=True))
    layers[0].double()
    assert len(flattened) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_cell_never_computes_anothers_formula(dtype):
    layer, x = False3(3, 4, dtype=dtype), torch.randn(5, 2, 3).to(dtype)
    drives = x @ layer.weight_ih_l0.T + layer.bias_ih_l0
    close = {"rtol": 0, "atol": 0.05 if dtype == torch.bfloat16 else 1e-5}
    torch.testing.assert_close(layer(x)[0], drives[..., :4].cumsum(0), **close)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(Delay, 3, 4, layer_norm=True), ValueError, "DELAY has no layer normalization"),
        (partial(Delay, 3, 4, zoneout=(0.1, 0.2, 0.3)), ValueError, "one for each state, got 3"),
        (partial(tnn.Recurrent, 3, 4), TypeError, "Recurrent must name its cell"),
        (partial(MGU, 3, 4, proj_size=2), ValueError, "the cell MGU has no projection"),
        (
            lambda: Delay(3, 4)(torch.zeros(2, 2, 3), torch.zeros(1, 2, 4)),
            TypeError,
            r"Delay: hx must be \(h, last, before\) or \(h, last, before, momentum\), got Tensor",
        ),
    ],
)
def test_wrong_calls_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
