"""What a cell of the user's own gets: its own formula, everywhere, and no other's."""

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest
import torch

from torchmomentum.ops import BACKENDS, Modifiers, Problem, choose, run, scan
from torchmomentum.ops.cells import (
    LSTM,
    RNN_TANH,
    Cell,
    Extra,
    by_key,
    find,
    names,
    recurrent,
    register,
)

T, B, H = 4, 3, 2
LENGTHS = torch.tensor([4, 1, 2])


def _mgu_step(pre, state, weights, operand, modifiers):
    """The minimal gated unit of Zhou et al. (2016), its gate on the product."""
    gate_in, new_in = pre.chunk(2, -1)
    gate_h, new_h = recurrent(weights, operand, modifiers).chunk(2, -1)
    gate = torch.sigmoid(gate_in + gate_h)
    new = torch.tanh(new_in + gate * new_h)
    return (state[0] + gate * (new - state[0]),)


MGU = Cell("MGU", gates=2, step=_mgu_step)


def _leaky_step(pre, state, weights, operand, modifiers):
    """Three states, and a weight of its own: what no built-in cell has."""
    _, slow, count = state
    new = torch.sin(pre + recurrent(weights, operand, modifiers)) * weights.extra["leak"]
    return new, 0.5 * slow + new, count + 1


LEAKY = Cell(
    "LEAKY",
    gates=1,
    step=_leaky_step,
    states=("h", "slow", "count"),
    extra=(Extra("leak", lambda h, width: (width,)),),
)


def _draw(cell, dtype=torch.float64):
    rows = cell.gates * H
    pre = torch.randn(T, B, rows, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in cell.states)
    weights = [torch.randn(rows, H, dtype=dtype), torch.randn(rows, dtype=dtype)]
    weights += [torch.randn(H, dtype=dtype) for _ in cell.extra]
    return pre, state, [w.requires_grad_() for w in weights]


def _mgu_by_hand(pre, h, weight_hh, bias_hh, lengths=None):
    outputs = []
    for t in range(T):
        made = h @ weight_hh.T + bias_hh
        gate = torch.sigmoid(pre[t, :, :H] + made[:, :H])
        new = torch.tanh(pre[t, :, H:] + gate * made[:, H:])
        after = (1 - gate) * h + gate * new
        h = after if lengths is None else torch.where((t < lengths)[:, None], after, h)
        outputs.append(h)
    return torch.stack(outputs), h


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_new_cell_is_its_own_formula(lengths):
    pre, (h,), weights = _draw(MGU)
    found = scan(MGU, pre, (h,), weights, lengths)
    expected = _mgu_by_hand(pre, h, *weights, lengths)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    inputs = [pre, h, *weights]
    grads = [torch.autograd.grad(out[0].square().sum(), inputs) for out in (found, expected)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", [MGU, LEAKY])
def test_both_orders_of_gradients(cell):
    pre, state, weights = _draw(cell)
    inputs = [pre, *state, *weights]
    count = len(state)

    def loss(pre, *rest):
        return scan(cell, pre, rest[:count], rest[count:], LENGTHS)

    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("cell", [MGU, LEAKY])
def test_in_one_graph_in_transforms_exported_and_on_meta(cell):
    pre, *fixed = _draw(cell)
    state, weights = ([x.detach() for x in part] for part in fixed)

    def function(pre):
        return scan(cell, pre, state, weights, LENGTHS)[0]

    expected = function(pre)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    torch.testing.assert_close(compiled(pre), expected)
    (grad,) = torch.autograd.grad(expected.square().sum(), pre)
    both = torch.stack([pre.detach(), pre.detach() + 1])
    found = torch.func.vmap(torch.func.grad(lambda x: function(x).square().sum()))(both)
    torch.testing.assert_close(found[0], grad)
    direction = torch.randn_like(pre)
    pushed = torch.func.jvp(lambda x: function(x).square().sum(), (pre.detach(),), (direction,))
    torch.testing.assert_close(pushed[1], (grad * direction).sum())

    class Module(torch.nn.Module):
        def forward(self, pre):
            return function(pre)

    program = torch.export.export(Module(), (pre.detach(),)).module()
    torch.testing.assert_close(program(pre.detach()), expected)
    meta = [x.detach().to("meta") for x in (pre, *state, *weights)]
    count = len(state)
    out, *last = scan(cell, meta[0], meta[1 : 1 + count], meta[1 + count :])
    assert out.is_meta
    assert out.shape == (T, B, H)
    assert [s.shape for s in last] == [(B, H)] * count


def test_half_precision_is_computed_in_float32():
    pre, state, weights = _draw(MGU, torch.bfloat16)
    found = scan(MGU, pre, state, weights)
    wide = scan(MGU, pre.float(), [s.float() for s in state], [w.float() for w in weights])
    for a, b in zip(found, wide, strict=True):
        assert a.dtype == torch.bfloat16
        assert torch.equal(a, b.bfloat16())


def test_a_whole_layer_with_modifiers():
    _, (h,), (weight_hh, bias_hh) = _draw(MGU)
    x, weight_ih = torch.randn(T, B, 5).double(), torch.randn(2 * H, 5).double()
    kept = torch.tensor([[True, False], [True, True], [False, True]])
    modifiers = Modifiers(keep_mask=kept, keep_scale=1.5)
    rest = {"weight_ih": weight_ih, "bias_hh": bias_hh, "modifiers": modifiers}
    out, last = run(Problem(MGU, x, (h,), weight_hh, **rest))
    seen = h * kept * 1.5
    gate_in, new_in = (x[0] @ weight_ih.T).chunk(2, -1)
    gate_h, new_h = (seen @ weight_hh.T + bias_hh).chunk(2, -1)
    gate = torch.sigmoid(gate_in + gate_h)
    expected = h + gate * (torch.tanh(new_in + gate * new_h) - h)
    torch.testing.assert_close(out[0], expected)
    assert torch.equal(out[-1], last)


# --- an unknown cell never computes another one's formula ----------------------------------------


@pytest.mark.parametrize("name", ["RNN_TANH", "LSTM", "GRU", "RNN_RELU"])
def test_a_name_alone_brings_no_kernel(name):
    """A cell that is called as a built-in one is not taken for it, in any backend."""
    known = find(name)
    states = known.states

    def step(pre, state, weights, operand, modifiers):
        total = pre + recurrent(weights, operand, modifiers)
        return tuple(torch.cos(part) for part in total.chunk(known.gates, -1)[: len(states)])

    cell = Cell(name, gates=known.gates, step=step, states=states)
    pre, state, weights = _draw(cell, torch.float32)
    problem = Problem(cell, pre, state, weights[0], bias_hh=weights[1])
    assert choose(problem).name == "definition"
    for backend in BACKENDS:
        if backend in ("definition", "loop"):
            out = scan(cell, pre, state, weights, backend=backend)[0]
            expected = torch.cos((pre[0] + state[0] @ weights[0].T + weights[1])[:, :H])
            torch.testing.assert_close(out[0], expected)
        else:
            with pytest.raises(ValueError, match=f"backend '{backend}' serves"):
                scan(cell, pre, state, weights, backend=backend)


def test_two_cells_of_one_name_are_two_cells():
    one = Cell("SAME", 1, lambda pre, state, weights, operand, modifiers: (pre + 1,))
    two = Cell("SAME", 1, lambda pre, state, weights, operand, modifiers: (pre + 2,))
    pre, state, weights = _draw(one)
    assert (scan(one, pre, state, weights)[0] == pre + 1).all()
    assert (scan(two, pre, state, weights)[0] == pre + 2).all()


def test_the_register():
    with pytest.raises(ValueError, match="there is a cell 'LSTM' already: give yours another"):
        register(Cell("LSTM", 4, LSTM.step, ("h", "c")))
    assert find("LSTM") is LSTM
    assert register(LSTM) is LSTM
    assert "MGU" not in names()
    known = r"cell must be a Cell or one of GRU, LRU, LSTM, .*got 'MGU'"
    with pytest.raises(ValueError, match=known):
        scan("MGU", *_draw(MGU))
    with pytest.raises(ValueError, match="gates must be at least 1"):
        Cell("NONE", 0, LSTM.step)
    with pytest.raises(ValueError, match="first state must be 'h'"):
        Cell("NONE", 1, LSTM.step, states=("c",))


def test_a_cell_that_is_gone_says_what_to_do():
    pre, (h,), (weight_hh, bias_hh) = _draw(MGU)
    args = Problem(MGU, pre, (h,), weight_hh, bias_hh=bias_hh).flat()
    args[args.index(MGU.key)] = "ELSEWHERE/7"
    with pytest.raises(RuntimeError, match=r"the cell 'ELSEWHERE' .* import the module"):
        torch.ops.torchmomentum.definition_1_0(*args)


def test_copies_and_pickles():
    assert copy.deepcopy(MGU) is MGU
    assert pickle.loads(pickle.dumps(LSTM)) is LSTM
    other = pickle.loads(pickle.dumps(MGU))
    assert other.step is MGU.step
    assert other.key != MGU.key


def test_weights_and_states_are_counted():
    pre, state, weights = _draw(LEAKY)
    with pytest.raises(ValueError, match="LEAKY needs its weight 'leak'"):
        scan(LEAKY, pre, state, weights[:2])
    with pytest.raises(ValueError, match=r"LEAKY has 3 state\(s\), got 2"):
        scan(LEAKY, pre, state[:2], weights)
    with pytest.raises(ValueError, match="leak must have shape"):
        scan(LEAKY, pre, state, [*weights[:2], torch.ones(5)])
    problem = Problem(RNN_TANH, pre, state[:1], weights[0], extra={"leak": weights[2]})
    with pytest.raises(ValueError, match="RNN_TANH has no weight 'leak'"):
        run(problem)


def test_a_cell_made_of_another_has_no_gradient_but_its_own():
    """Or it would compute the other's formula."""
    with pytest.raises(ValueError, match="the gradient of the cell 'MINE' is of another step"):
        dataclasses.replace(LSTM, name="MINE", step=_mgu_step)
    mine = dataclasses.replace(LSTM, name="MINE", step=_mgu_step, gradient=None)
    assert mine.key != LSTM.key


def test_an_unregistered_cell_is_not_another_process_s():
    """Its key is of this process: a program loaded elsewhere finds none, not one of its name."""
    code = "from torchmomentum.ops.cells import Cell; print(Cell('SAME', 1, step=len).key)"
    keys = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert keys[0] != keys[1]
    with pytest.raises(RuntimeError, match="the cell 'SAME' of this program is not known here"):
        by_key(keys[0].strip())


def test_a_normalization_that_a_cell_does_not_apply_is_refused():
    pre, state = torch.zeros(T, B, 3 * H), (torch.zeros(B, H),)
    weights = [torch.zeros(3 * H, H), None]
    with pytest.raises(ValueError, match="the cell GRU does not apply the modifier norm_c"):
        scan("GRU", pre, state, weights, modifiers=Modifiers(norm_c=torch.ones(H)))


def test_a_bias_of_the_input_counts_without_input_weights():
    """Every backend adds what it is given."""
    torch.manual_seed(0)
    problem = Problem(
        *(LSTM, torch.randn(T, B, 4 * H), (torch.zeros(B, H),) * 2, torch.randn(4 * H, H)),
        bias_ih=torch.randn(4 * H),
        bias_hh=torch.randn(4 * H),
    )
    expected = run(problem, "loop")[0]
    torch.testing.assert_close(run(problem, "aten")[0], expected)
    alone = problem._replace(bias_hh=None)
    with pytest.raises(ValueError, match="both biases or neither"):
        run(alone, "aten")
