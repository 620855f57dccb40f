"""Plain layers in one call, and layers whose input goes through a constant momentum first."""

import pytest
import torch
from torch.nn.functional import pad

import torchmomentum.nn as tnn
from tests.ops.kernels import MODES, SHAPES, arguments, split_tensors
from torchmomentum._tuples import changed
from torchmomentum.ops import (
    Moments,
    Problem,
    Velocity,
    available,
    compiled_step,
    run,
    scan_definition,
    timed,
)
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu import chunks

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")

MU, GAIN = 0.7, 1.3
KINDS = [mode for mode in MODES if mode != "RNN_TANH"]  # of whose kernels there is one for both


def _arguments(mode, shape):
    """Of which neither the input nor the velocity needs a gradient."""
    time, batch, inputs, _ = shape
    tensors = arguments(mode, shape)
    tensors["x"] = torch.randn(time, batch, inputs)
    return tensors, torch.randn(batch, inputs + 1)


def _problem(mode, tensors, velocity):
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = split_tensors(tensors)
    extra = {} if bias_modrelu is None else {"bias_modrelu": bias_modrelu}
    rest = weight_ih, bias_ih, bias_hh, extra
    cell, rule = find(mode), Velocity(velocity, MU, GAIN)
    return Problem(cell, tensors["x"], state, weight_hh, *rest, velocity=rule)


def _defined(mode, tensors, velocity):
    """A momentum of the drives, which are linear in ``[x; 1]``, and the cell's definition."""
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = split_tensors(tensors)
    v, values = velocity, []
    for x in pad(tensors["x"], (0, 1), value=1.0):
        v = MU * v + GAIN * x
        values.append(v[:, :-1] @ weight_ih.t() + v[:, -1:] * bias_ih)
    recurrent = [weight_hh, bias_hh, *([] if bias_modrelu is None else [bias_modrelu])]
    return *scan_definition(mode, torch.stack(values), state, recurrent), v


def _check(mode, shape, twice=False, backend="cpu"):
    tensors, velocity = _arguments(mode, shape)
    exact = {name: x.detach().double() for name, x in tensors.items()}
    for name, x in exact.items():
        x.requires_grad_(name != "x")
    found = run(_problem(mode, tensors, velocity), backend)
    expected = _defined(mode, exact, velocity.double())
    close = {"rtol": 1e-4, "atol": 2e-5, "check_dtype": False}
    torch.testing.assert_close(found, expected, **close)
    weights = [torch.randn_like(y) for y in expected[:-1]]
    grads = []
    for out, given in ((found, tensors), (expected, exact)):
        wanted = [x for x in given.values() if x.requires_grad]
        loss = sum((y * w.to(y.dtype)).sum() for y, w in zip(out[:-1], weights, strict=True))
        pulled = torch.autograd.grad(loss, wanted, create_graph=twice)
        if twice:
            pulled = torch.autograd.grad(sum(g.square().sum() for g in pulled), wanted)
        grads.append([g / max(1.0, g.abs().max().item()) for g in pulled])
    torch.testing.assert_close(*grads, **close)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", KINDS)
def test_a_momentum_of_the_input_is_one_of_the_drives(mode, shape, threads, poisoned):
    _check(mode, shape)


@pytest.mark.parametrize("inputs", [3, 20])  # narrow, and not
@pytest.mark.parametrize("mode", KINDS)
def test_a_momentum_of_the_input_goes_on_from_chunk_to_chunk(mode, inputs, monkeypatch, poisoned):
    monkeypatch.setattr(chunks, "_CACHED", 1)
    monkeypatch.setattr(chunks, "_ROWS", 12)
    assert len(chunks.chunks(10, 4, 32)) == 4
    _check(mode, (10, 4, inputs, 8))


@pytest.mark.parametrize("mode", KINDS)
def test_a_momentum_of_the_input_twice_differentiated(mode):
    _check(mode, (4, 3, 2, 5), twice=True)


@pytest.mark.parametrize("backend", ["aten", "eager", "definition", "loop"])
@pytest.mark.parametrize("twice", [False, True])
def test_a_momentum_of_the_input_before_other_backends(backend, twice):
    _check("LSTM", (4, 3, 2, 5), twice, backend)


def test_a_velocity_of_the_input_is_bounded_and_checked():
    tensors, velocity = _arguments("LSTM", (3, 2, 4, 5))
    tensors["x"][:] = 3e38
    assert all(y.isfinite().all() for y in run(_problem("LSTM", tensors, velocity), "cpu"))
    with pytest.raises(ValueError, match=r"velocity must have shape \(2, 5\), got \(2, 4\)"):
        run(_problem("LSTM", tensors, velocity[:, 1:]), "cpu")


@pytest.mark.parametrize("time", [1, 3])  # a kernel of one step too
@pytest.mark.parametrize("grads", [False, True])
def test_what_a_velocity_of_the_input_does_not_go_with_is_rejected(time, grads):
    tensors, velocity = _arguments("LSTM", (time, 2, 4, 5))
    problem, lengths = _problem("LSTM", tensors, velocity), torch.tensor([1, 1])
    learned = Velocity(velocity, torch.tensor(0.5, requires_grad=True), 1.0)
    moments = Moments(torch.zeros(2, 20), torch.ones(2, 20), 0.6, 1.0, 0.9, 1e-8)
    asked = problem.x.clone().requires_grad_()
    with torch.set_grad_enabled(grads):
        for change, words in (
            ({"bias_ih": None}, "needs weight_ih and bias_ih"),
            ({"weight_ih": None}, "needs weight_ih and bias_ih"),
            ({"lengths": lengths}, "neither with lengths nor with moments"),
            ({"moments": moments}, "neither with lengths nor with moments"),
            ({"x": problem.x.double()}, "got an x of torch.float64"),
            *([({"x": asked}, r"requires_grad \[True, False")] * grads),
            *([({"velocity": learned}, r"requires_grad \[False, False, True")] * grads),
        ):
            with pytest.raises(ValueError, match=f"velocity of the input .*{words}"):
                run(changed(problem, **change))
    with pytest.raises(ValueError, match="needs weight_ih and bias_ih"):
        compiled_step(
            find("LSTM"),
            velocity,
            problem.state,
            None,
            problem.weight_hh,
            None,
            None,
            before=problem.velocity,
        )


@pytest.mark.parametrize("time", [1, 3])
@pytest.mark.parametrize("grads", [False, True])
def test_an_input_without_features_is_rejected(time, grads):
    tensors, velocity = _arguments("LSTM", (time, 9, 3, 5))
    bare = {"x": tensors["x"][..., :0], "weight_ih": tensors["weight_ih"].detach()[:, :0]}
    problem = changed(_problem("LSTM", tensors, velocity), velocity=None, **bare)
    with torch.set_grad_enabled(grads), pytest.raises(ValueError, match="at least one feature"):
        run(problem, None if time == 1 and not grads else "cpu")


def test_a_momentum_that_is_passed_on_has_no_gradient(fast):
    layer, x = tnn.LSTM(3, 5, momentum=tnn.Momentum(0.6, 0.6)), torch.randn(4, 2, 3)
    state = layer.initial_state(2)
    for _ in range(2):
        with timed() as kernels:
            out, state = layer(x, state)
        assert [*kernels] == ["layer_forward"]
        assert not state[2][0].velocity.requires_grad
        out.sum().backward()
        state = (state[0].detach(), state[1].detach(), state[2])


@pytest.mark.parametrize("momentum", [None, tnn.Momentum(0.6, 0.6)])
@pytest.mark.parametrize("layer", [tnn.LSTM, tnn.GRU, tnn.RNN])
@pytest.mark.parametrize("time", [1, 20])
def test_a_short_layer_is_one_call_each_way(layer, momentum, time, fast):
    made, x = layer(3, 5, momentum=momentum), torch.randn(time, 2, 3)
    with timed() as kernels:
        made(x)[0].sum().backward()
    assert [*kernels] == ["layer_forward", "layer_backward"]
    with timed() as kernels, torch.no_grad():
        made(x)
    assert [*kernels] == ["cell_step" if time == 1 else "layer_forward"]


def test_what_the_layer_kept_is_not_what_it_returned():
    """A last state that is changed in place changes neither gradients nor outputs."""
    layer, x = tnn.LSTM(3, 5, momentum=tnn.Momentum(0.6, 0.6)), torch.randn(4, 2, 3)
    grads = []
    for writes in (False, True):
        out, (h, c, momentum) = layer(x, layer.initial_state(2))
        if writes:
            with torch.no_grad():
                for state in (h, c, momentum[0].velocity):
                    state.zero_()
        grads.append([out, *torch.autograd.grad(out.square().sum(), [*layer.parameters()])])
    torch.testing.assert_close(*grads, rtol=0, atol=0)
