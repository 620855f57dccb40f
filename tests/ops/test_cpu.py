"""The compiled kernels beside the definition in float64: outputs, states and all gradients."""

import pytest
import torch

import torchmomentum.nn as tnn
from tests.ops.kernels import (
    MODES,
    MODIFIED,
    SHAPES,
    arguments,
    check_kernel,
    compiled,
    defined,
    draw,
    problem_of,
    split_tensors,
)
from torchmomentum.ops import (
    BACKENDS,
    Modifiers,
)
from torchmomentum.ops import _choose as choosing
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu import chunks, operators
from torchmomentum.ops.cpu.library import available

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_definition(mode, shape, moments, threads, poisoned):
    check_kernel(mode, arguments(mode, shape, moments=moments, learned=moments))


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_lengths(mode, moments, threads, poisoned):
    tensors = arguments(mode, (9, 20, 3, 18), moments=moments)
    lengths = torch.randint(1, 10, (20,))
    lengths[0] = 9
    check_kernel(mode, tensors, lengths)
    found = compiled(mode, tensors, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert (found[0][length:, row] == found[0][length - 1, row]).all()
    (grad,) = torch.autograd.grad(found[0].square().sum(), tensors["x"])
    for row, length in enumerate(lengths.tolist()):
        assert (grad[length:, row] == 0).all()


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_chunks_of_time(mode, moments, monkeypatch, poisoned):
    monkeypatch.setattr(chunks, "_CACHED", 1)
    monkeypatch.setattr(chunks, "_ROWS", 12)
    assert len(chunks.chunks(10, 4, 32)) == 4
    for lengths in (None, torch.tensor([10, 1, 4, 6])):
        check_kernel(
            mode, arguments(mode, (10, 4, 20, 8), moments=moments, learned=moments), lengths
        )


@pytest.mark.parametrize("modified", MODIFIED)
@pytest.mark.parametrize("mode", MODES)
def test_modifiers(mode, modified, threads, poisoned, monkeypatch):
    monkeypatch.setattr(chunks, "_CACHED", 1)
    shapes = {(10, 5, 3, 18): 15, (1, 2, 3, 4): 15, (5, 70, 4, 60): 70, (4, 3, 2, 270): 9}
    shapes[7, 3, 2, 5] = 21  # all steps at once
    for (time, batch, inputs, hidden), rows in shapes.items():
        monkeypatch.setattr(chunks, "_ROWS", rows)  # chunks of three steps, of one
        for moments in (True, False):
            tensors = arguments(mode, (time, batch, inputs, hidden), moments=moments)
            given = MODIFIED[modified](time, batch, hidden)
            if "steps" in given:
                tensors["previous"] = draw(batch, hidden)
            for lengths in (None, torch.randint(1, time + 1, (batch,))):
                check_kernel(mode, tensors, lengths, given)


@pytest.mark.parametrize("mode", ["LSTM", "GRU"])
def test_closed_gates_are_as_small_as_they_are(mode):
    """A sigmoid of -40 or -80 keeps all its digits, which an absolute tolerance does not see."""
    tensors = arguments(mode, (1, 2, 1, 3), bias=False)
    closed = {"LSTM": 3, "GRU": 1}[mode]  # o, which h is a multiple of; z, which keeps the last h
    for value in (-40.0, -80.0):
        pre = torch.ones(1, 2, find(mode).gates, 3)
        pre[:, :, closed] = value
        if mode == "GRU":
            pre[:, :, 2] = 0.0  # a candidate of zero, so that z alone makes h
        tensors["x"] = pre.flatten(2).requires_grad_()
        tensors["weight_ih"], tensors["weight_hh"] = None, torch.zeros_like(tensors["weight_hh"])
        found = compiled(mode, tensors, None)[0]
        state, _ = split_tensors({k: t.double() for k, t in tensors.items() if t is not None})
        gate = 1 / (1 + torch.exp(torch.tensor(-value, dtype=torch.float64)))
        if mode == "LSTM":
            one = torch.tensor(1.0, dtype=torch.float64)
            expected = gate * torch.tanh(one.sigmoid() * (state[1] + torch.tanh(one)))
        else:
            expected = gate * state[0]
        torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=0, check_dtype=False)


@pytest.mark.parametrize("mode", MODES)
def test_without_bias_and_non_contiguous(mode):
    tensors = arguments(mode, (5, 6, 7, 9), bias=False)
    for name, x in tensors.items():
        apart = torch.stack([x.detach(), x.detach()], -1)
        tensors[name] = apart[..., 0].requires_grad_()
        assert not tensors[name].is_contiguous()
    check_kernel(mode, tensors)


@pytest.mark.parametrize("mode", MODES)
def test_what_inference_keeps_changes_nothing(mode):
    tensors = arguments(mode, (50, 6, 7, 9), moments=True)
    with torch.no_grad():
        plain = compiled(mode, tensors, None)
    for a, b in zip(plain, compiled(mode, tensors, None), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives_go_through_the_definition(mode):
    tensors = arguments(mode, (3, 2, 3, 4))
    exact = {k: x.detach().double().requires_grad_() for k, x in tensors.items()}
    second = []
    for function, given in ((compiled, tensors), (defined, exact)):
        loss = function(mode, given, None)[0].square().sum()
        (first,) = torch.autograd.grad(loss, given["x"], create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), given["weight_hh"])[0])
    torch.testing.assert_close(*second, rtol=1e-3, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("value", [1e30, -1e30, 1e-40, 0.0])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_extreme_pre_activations_stay_finite(mode, value):
    tensors = arguments(mode, (4, 3, 2, 5), moments=True)
    with torch.no_grad():
        tensors["x"].fill_(value)
    found = compiled(mode, tensors, None)
    assert all(x.isfinite().all() for x in found)
    for grad in torch.autograd.grad(found[0].sum(), [tensors["x"], tensors["weight_hh"]]):
        assert grad.isfinite().all()


def test_a_nan_shows():
    tensors = arguments("LSTM", (4, 3, 2, 5))
    with torch.no_grad():
        tensors["x"][2, 1] = float("nan")
    out = compiled("LSTM", tensors, None)[0]
    assert out[2:, 1].isnan().all()
    assert out[:2].isfinite().all()
    assert out[:, [0, 2]].isfinite().all()


def test_what_does_not_fit_never_reaches_a_kernel():
    tensors = arguments("LSTM", (4, 3, 2, 5))
    for name, shape in (("h", (2, 5)), ("weight_ih", (20, 3)), ("bias_hh", (19,))):
        with pytest.raises(ValueError, match=r"must have shape \(.*\), got \("):
            compiled("LSTM", tensors | {name: torch.zeros(shape)}, None)
    with pytest.raises(ValueError, match="lengths must have shape"):
        compiled("LSTM", tensors, torch.tensor([1, 2]))


def test_what_it_serves():
    tensors = arguments("LSTM", (4, 3, 2, 5))
    problem, serves = problem_of("LSTM", tensors), BACKENDS["cpu"].serves
    assert serves(problem)
    assert serves(problem.to(torch.float16))
    assert not serves(problem.to(torch.float64))
    assert not serves(problem._replace(state=(problem.state[0].double(), problem.state[1])))
    assert not serves(problem._replace(extra={"weight_hr": torch.ones(1, 5)}))
    ones = {"norm_hh": torch.ones(20), "norm_c": torch.ones(5), "norm_c_bias": torch.ones(5)}
    assert serves(problem._replace(modifiers=Modifiers(**ones)))
    for left_out in ("norm_hh", "norm_c"):  # no kernel normalizes the cell alone
        rest = {name: x for name, x in ones.items() if name != left_out}
        assert not serves(problem._replace(modifiers=Modifiers(**rest)))
    halves = ones | {"norm_c": torch.ones(5, dtype=torch.float16)}
    assert not serves(problem._replace(modifiers=Modifiers(**halves)))


# --- what is known only when the backward comes, and what must not reach a pointer ---------------


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_that_the_forward_could_not_foresee(mode):
    tensors = arguments(mode, (5, 2, 3, 4), moments=True)
    x, fixed = tensors["x"].detach(), {k: t.detach() for k, t in tensors.items()}

    def run(x):
        return compiled(mode, fixed | {"x": x}, None)[0].square().sum()

    xs = torch.stack([x, x + 1]).requires_grad_()
    torch.func.vmap(run)(xs).sum().backward()
    for found, one in zip(xs.grad, xs.detach(), strict=True):
        one = one.clone().requires_grad_()
        run(one).backward()
        torch.testing.assert_close(found, one.grad)


@pytest.mark.parametrize("backend", ["cpu", "aten"])
def test_exported_without_gradients_and_trained_all_the_same(backend, monkeypatch):
    monkeypatch.setattr(choosing, "CHOICES", [choosing.Choice(backend, "", lambda problem: True)])
    layer = tnn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        module = torch.export.export(layer, (x,)).module()
    grads = []
    for function in (layer, module):
        y = x.clone().requires_grad_()
        function(y)[0].square().sum().backward()
        grads.append(y.grad)
    torch.testing.assert_close(*grads)


def test_states_and_lengths_of_other_types():
    tensors = arguments("LSTM", (5, 2, 3, 4), moments=True)
    expected = compiled("LSTM", tensors, torch.tensor([5, 2]))[0]
    doubled = tensors | {k: tensors[k].double() for k in ("velocity", "rms")}
    torch.testing.assert_close(compiled("LSTM", doubled, torch.tensor([5, 2]).int())[0], expected)


def test_memory_of_elsewhere_is_refused():
    tensors = arguments("LSTM", (5, 2, 3, 4))
    meta = tensors | {"h": tensors["h"].to("meta")}
    assert not BACKENDS["cpu"].serves(problem_of("LSTM", meta))
    with pytest.raises(RuntimeError, match="not at the same device"):
        compiled("LSTM", meta, None)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        operators.layer(problem_of("LSTM", meta))


def test_a_negated_view():
    tensors = arguments("LSTM", (5, 2, 3, 4))
    z = torch.randn(5, 2, 3, dtype=torch.complex64)
    view = z.conj().imag
    assert view.is_neg()
    found = compiled("LSTM", tensors | {"x": view}, None)[0]
    expected = compiled("LSTM", tensors | {"x": view.clone().resolve_neg()}, None)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and says so at every step
def test_traced():
    layer = tnn.MomentumLSTM(3, 4)
    x = torch.randn(5, 2, 3)
    traced = torch.jit.trace(layer, x, check_trace=False)
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


@pytest.mark.parametrize("kind", [tnn.LSTM, tnn.GRU, tnn.RNN])
def test_the_last_state_may_be_changed_in_place(kind):
    layer = kind(3, 4)
    out, state = layer(torch.randn(5, 2, 3, requires_grad=True))
    (state[0] if isinstance(state, tuple) else state).mul_(0.5)
    out.sum().backward()


# torch's own: its look at what is compiled, and a function of its own
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_gradients_of_transposed_input_in_a_compiled_graph():
    layer = tnn.MomentumLSTM(3, 4, batch_first=True)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True)
    grads = []
    for function in (layer, compiled):
        x = torch.ones(2, 5, 3, requires_grad=True)
        function(x * 2)[0].square().sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("cell", [tnn.LSTM, tnn.GRU, tnn.RNN])
def test_gradients_of_both_biases_have_memory_of_their_own(cell):
    layer = cell(3, 4)
    biases = layer.bias_ih_l0, layer.bias_hh_l0
    a, b = torch.autograd.grad(layer(torch.randn(5, 2, 3))[0].sum(), biases)
    assert a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr()
