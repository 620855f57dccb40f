"""The compiled kernels beside the definition in float64: outputs, states and all gradients."""

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops import (
    BACKENDS,
    PLAIN,
    Modifiers,
    Moments,
    Problem,
    adam_scan_definition,
    run,
    scan_definition,
)
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu import chunks, forward, operators
from torchmomentum.ops.cpu.layer import KERNELS
from torchmomentum.ops.cpu.library import available, call, product

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")

MODES = list(KERNELS)
SHAPES = {  # T, B, I, H
    "one of everything": (1, 1, 1, 1),
    "one row": (7, 1, 3, 33),
    "one step": (1, 9, 5, 16),
    "odd": (11, 13, 17, 37),
    # enough to do for several threads, which share out rows or units
    "rows for each thread": (6, 41, 2, 130),
    "units for each thread": (3, 5, 270, 260),
}


@pytest.fixture
def poisoned():
    """Fills what is allocated with NaN: nothing that a kernel leaves unwritten may be read."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _draw(*shape):
    return torch.randn(*shape, requires_grad=True)


def _arguments(mode, shape, *, bias=True, learned=False, moments=False):
    time, batch, inputs, hidden = shape
    rows = find(mode).gates * hidden
    tensors = {"x": _draw(time, batch, inputs), "h": _draw(batch, hidden)}
    if mode == "LSTM":
        tensors["c"] = _draw(batch, hidden)
    tensors["weight_ih"], tensors["weight_hh"] = _draw(rows, inputs), _draw(rows, hidden)
    with torch.no_grad():
        tensors["weight_ih"] /= inputs**0.5
        tensors["weight_hh"] /= 2 * hidden**0.5
    if bias:
        tensors |= {"bias_ih": _draw(rows), "bias_hh": _draw(rows)}
    if mode == "RNN_MODRELU":
        tensors["bias_modrelu"] = _draw(hidden)
    if moments:
        rms = torch.rand(batch, rows) + 0.1
        tensors |= {"velocity": _draw(batch, rows), "rms": rms.requires_grad_()}
    if learned:
        tensors["mu"] = torch.tensor(0.6, requires_grad=True)
        tensors["gain"] = torch.tensor(0.9, requires_grad=True)
    return tensors


def _split(tensors):
    state = tuple(tensors[name] for name in ("h", "c") if name in tensors)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "bias_modrelu")
    return state, [tensors.get(name) for name in names]


def _some(*shape):
    return torch.rand(*shape) < 0.4


BESIDES = {
    "lookahead": lambda t, b, h: {"steps": torch.arange(b) % 3, "restart": 4},
    "lookahead for good": lambda t, b, h: {"steps": torch.arange(b) % 3},
    "dropout": lambda t, b, h: {"keep_mask": _some(b, h), "keep_scale": 1.7},
    "zoneout": lambda t, b, h: {"zoneout_h": _some(t, b, h), "zoneout_c": _some(t, b, h)},
    "zoneout's mean": lambda t, b, h: {"rate_h": 0.3, "rate_c": 0.2},
    "all": lambda t, b, h: {
        "steps": torch.arange(b) % 5,
        "restart": 3,
        "keep_mask": _some(b, h),
        "keep_scale": 1.7,
        "zoneout_h": _some(t, b, h),
        "rate_c": 0.2,
    },
}


def _options(tensors, besides):
    return Modifiers(**besides, previous=tensors.get("previous"))


def _compiled(mode, tensors, lengths, besides=()):
    moments = None
    if "velocity" in tensors:
        rule = tensors.get("mu", 0.6), tensors.get("gain", 0.9), 0.8, 1e-3
        moments = Moments(tensors["velocity"], tensors["rms"], *rule)
    options = _options(tensors, dict(besides))
    return run(_problem(mode, tensors, lengths, options, moments), "cpu")


def _problem(mode, tensors, lengths=None, options=PLAIN, moments=None):
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = _split(tensors)
    extra = {} if bias_modrelu is None else {"bias_modrelu": bias_modrelu}
    rest = (weight_ih, bias_ih, bias_hh, extra, lengths, options, moments)
    return Problem(find(mode), tensors["x"], state, weight_hh, *rest)


def _defined(mode, tensors, lengths, besides=()):
    state, (weight_ih, weight_hh, bias_ih, bias_hh, bias_modrelu) = _split(tensors)
    x = tensors["x"]
    mask = None
    if lengths is not None:
        mask = (torch.arange(len(x)).unsqueeze(1) < lengths).unsqueeze(-1)
    pre, moments = torch.nn.functional.linear(x, weight_ih, bias_ih), ()
    if "velocity" in tensors:
        mu, gain = (
            tensors.get(name, torch.tensor(value, dtype=x.dtype))
            for name, value in (("mu", 0.6), ("gain", 0.9))
        )
        pre, *moments = adam_scan_definition(
            pre, tensors["velocity"], tensors["rms"], mu, gain, mask, 0.8, 1e-3
        )
    recurrent = [weight_hh, bias_hh, *([bias_modrelu] if mode == "RNN_MODRELU" else [])]
    options = _options(tensors, dict(besides))
    return *scan_definition(mode, pre, state, recurrent, mask, options), *moments


def _check(mode, tensors, lengths=None, besides=()):
    exact = {k: x.detach().double().requires_grad_() for k, x in tensors.items()}
    found = _compiled(mode, tensors, lengths, besides)
    expected = _defined(mode, exact, lengths, besides)
    tolerance = {"rtol": 1e-4, "atol": 2e-5, "check_dtype": False}
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    weights = [torch.randn_like(b) for b in expected]
    grads = (
        torch.autograd.grad(out, list(given.values()), [w.to(out[0].dtype) for w in weights])
        for out, given in ((found, tensors), (expected, exact))
    )
    for name, a, b in zip(tensors, *grads, strict=True):
        scale = max(1.0, b.abs().max().item())
        torch.testing.assert_close(
            a / scale, b / scale, **tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_definition(mode, shape, moments, threads, poisoned):
    _check(mode, _arguments(mode, shape, moments=moments, learned=moments))


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_lengths(mode, moments, threads, poisoned):
    tensors = _arguments(mode, (9, 20, 3, 18), moments=moments)
    lengths = torch.randint(1, 10, (20,))
    lengths[0] = 9
    _check(mode, tensors, lengths)
    found = _compiled(mode, tensors, lengths)
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
        _check(mode, _arguments(mode, (10, 4, 20, 8), moments=moments, learned=moments), lengths)


@pytest.mark.parametrize("besides", BESIDES)
@pytest.mark.parametrize("mode", MODES)
def test_options(mode, besides, threads, poisoned, monkeypatch):
    monkeypatch.setattr(chunks, "_CACHED", 1)
    shapes = {(10, 5, 3, 18): 15, (1, 2, 3, 4): 15, (5, 70, 4, 60): 70, (4, 3, 2, 270): 9}
    for (time, batch, inputs, hidden), rows in shapes.items():
        monkeypatch.setattr(chunks, "_ROWS", rows)  # chunks of three steps, of one
        tensors = _arguments(mode, (time, batch, inputs, hidden), moments=True)
        given = BESIDES[besides](time, batch, hidden)
        if "steps" in given:
            tensors["previous"] = _draw(batch, hidden)
        for lengths in (None, torch.randint(1, time + 1, (batch,))):
            _check(mode, tensors, lengths, given)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (40, 601, 130), (9, 256, 65)])
@pytest.mark.parametrize("order", ["row", "column", "neither"])
def test_products_in_bfloat16(shape, order, threads):
    rows, depth, columns = shape
    a, b, start = torch.randn(rows, depth), torch.randn(depth, columns), torch.randn(columns)
    expected = start + a.bfloat16().double() @ b.bfloat16().double()
    given = {
        "row": (a, b),
        "column": (a.t().contiguous().t(), b.t().contiguous().t()),
        "neither": (torch.stack([a, a], -1)[..., 0], torch.stack([b, b], -1)[..., 0]),
    }[order]
    out = torch.full((rows, columns), float("nan"))
    product(out, *given, start, halves=True)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, check_dtype=False)


def test_bfloat16_keeps_what_no_number_is():
    special = torch.tensor([float("inf"), -float("inf"), float("nan"), 3.3895e38, 0.0])
    out = torch.zeros(5, 1)
    product(out, special[:, None], torch.ones(1, 1), None, halves=True)
    torch.testing.assert_close(
        out[:, 0], special.bfloat16().float(), equal_nan=True, rtol=0, atol=0
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_of_bfloat16_the_products_are_and_the_state_is_not(mode, shape, threads, poisoned):
    tensors = {
        name: x.detach().bfloat16() for name, x in _arguments(mode, shape, bias=False).items()
    }
    hidden, seen = tensors["weight_hh"].shape[1], []
    key = mode, False
    called = operators.OPERATORS[key]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(operators.OPERATORS, key, lambda *a: seen.append(called(*a)) or seen[0])
        out = _compiled(mode, tensors, None)[0]
    assert out.dtype == torch.bfloat16
    wide, *_ = seen[0]
    torch.testing.assert_close(out, wide.bfloat16(), rtol=0, atol=0)
    # every step again from the state found, the definition reading it as the products do
    state, (weight_ih, weight_hh, *_, third) = _split({k: x.double() for k, x in tensors.items()})
    recurrent = [weight_hh, None, *([third] if mode == "RNN_MODRELU" else [])]
    pre, past = tensors["x"].double() @ weight_ih.t(), state[0]
    for t, h in enumerate(wide.double()):
        if mode == "GRU":
            made = past.float().bfloat16().double() @ weight_hh.t()
            r, z = torch.sigmoid(pre[t] + made)[:, : 2 * hidden].chunk(2, -1)
            n = torch.tanh(pre[t, :, 2 * hidden :] + r * made[:, 2 * hidden :])
            expected = n + z * (past - n)
        else:
            state = (past.float().bfloat16().double(), *state[1:])
            expected, _, *cell = scan_definition(mode, pre[t : t + 1], state, recurrent)
            expected, state = expected[0], (h, *cell)
        torch.testing.assert_close(h, expected, rtol=1e-4, atol=2e-5)
        past = h


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("shape", ["odd", "rows for each thread", "units for each thread"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_bfloat16(mode, shape, moments, threads, poisoned):
    drawn = _arguments(mode, SHAPES[shape], moments=moments, learned=moments)
    tensors = {name: x.detach().bfloat16().requires_grad_() for name, x in drawn.items()}
    exact = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    grads = []
    for function, given in ((_compiled, tensors), (_defined, exact)):
        loss = function(mode, given, None)[0].double().square().sum()
        grads.append(torch.autograd.grad(loss, list(given.values())))
    for name, a, b in zip(tensors, *grads, strict=True):
        assert (a - b).norm() <= 2e-2 * b.norm() + 1e-6, name


@pytest.mark.parametrize("mode", MODES)
def test_without_bias_and_non_contiguous(mode):
    tensors = _arguments(mode, (5, 6, 7, 9), bias=False)
    for name, x in tensors.items():
        apart = torch.stack([x.detach(), x.detach()], -1)
        tensors[name] = apart[..., 0].requires_grad_()
        assert not tensors[name].is_contiguous()
    _check(mode, tensors)


@pytest.mark.parametrize("mode", MODES)
def test_what_inference_keeps_changes_nothing(mode):
    tensors = _arguments(mode, (50, 6, 7, 9), moments=True)
    with torch.no_grad():
        plain = _compiled(mode, tensors, None)
    for a, b in zip(plain, _compiled(mode, tensors, None), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives_go_through_the_definition(mode):
    tensors = _arguments(mode, (3, 2, 3, 4))
    exact = {k: x.detach().double().requires_grad_() for k, x in tensors.items()}
    second = []
    for function, given in ((_compiled, tensors), (_defined, exact)):
        loss = function(mode, given, None)[0].square().sum()
        (first,) = torch.autograd.grad(loss, given["x"], create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), given["weight_hh"])[0])
    torch.testing.assert_close(*second, rtol=1e-3, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("value", [1e30, -1e30, 1e-40, 0.0])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_extreme_pre_activations_stay_finite(mode, value):
    tensors = _arguments(mode, (4, 3, 2, 5), moments=True)
    with torch.no_grad():
        tensors["x"].fill_(value)
    found = _compiled(mode, tensors, None)
    assert all(x.isfinite().all() for x in found)
    for grad in torch.autograd.grad(found[0].sum(), [tensors["x"], tensors["weight_hh"]]):
        assert grad.isfinite().all()


def test_a_nan_shows():
    tensors = _arguments("LSTM", (4, 3, 2, 5))
    with torch.no_grad():
        tensors["x"][2, 1] = float("nan")
    out = _compiled("LSTM", tensors, None)[0]
    assert out[2:, 1].isnan().all()
    assert out[:2].isfinite().all()
    assert out[:, [0, 2]].isfinite().all()


def test_what_does_not_fit_never_reaches_a_kernel():
    tensors = _arguments("LSTM", (4, 3, 2, 5))
    for name, shape in (("h", (2, 5)), ("weight_ih", (20, 3)), ("bias_hh", (19,))):
        with pytest.raises(ValueError, match=r"must have shape \(.*\), got \("):
            _compiled("LSTM", tensors | {name: torch.zeros(shape)}, None)
    with pytest.raises(ValueError, match="lengths must have shape"):
        _compiled("LSTM", tensors, torch.tensor([1, 2]))


def test_what_it_serves():
    tensors = _arguments("LSTM", (4, 3, 2, 5))
    problem, serves = _problem("LSTM", tensors), BACKENDS["cpu"].serves
    assert serves(problem)
    assert serves(problem.to(torch.float16))
    assert not serves(problem.to(torch.float64))
    assert not serves(problem._replace(state=(problem.state[0].double(), problem.state[1])))
    assert not serves(problem._replace(extra={"weight_hr": torch.ones(1, 5)}))
    assert not serves(problem._replace(modifiers=Modifiers(norm_hh=torch.ones(20))))


# --- what is known only when the backward comes, and what must not reach a pointer ---------------


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_that_the_forward_could_not_foresee(mode):
    tensors = _arguments(mode, (5, 2, 3, 4), moments=True)
    x, fixed = tensors["x"].detach(), {k: t.detach() for k, t in tensors.items()}

    def run(x):
        return _compiled(mode, fixed | {"x": x}, None)[0].square().sum()

    xs = torch.stack([x, x + 1]).requires_grad_()
    torch.func.vmap(run)(xs).sum().backward()
    for found, one in zip(xs.grad, xs.detach(), strict=True):
        one = one.clone().requires_grad_()
        run(one).backward()
        torch.testing.assert_close(found, one.grad)


def test_exported_without_gradients_and_trained_all_the_same():
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


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_default_type_changes_nothing(default):
    tensors = _arguments("LSTM", (5, 2, 3, 4), moments=True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = torch.autograd.grad(_compiled("LSTM", tensors, None)[0].sum(), tensors["h"])
    finally:
        torch.set_default_dtype(before)
    expected = torch.autograd.grad(_compiled("LSTM", tensors, None)[0].sum(), tensors["h"])
    torch.testing.assert_close(found, expected)


def test_states_and_lengths_of_other_types():
    tensors = _arguments("LSTM", (5, 2, 3, 4), moments=True)
    expected = _compiled("LSTM", tensors, torch.tensor([5, 2]))[0]
    doubled = tensors | {k: tensors[k].double() for k in ("velocity", "rms")}
    torch.testing.assert_close(_compiled("LSTM", doubled, torch.tensor([5, 2]).int())[0], expected)


def test_memory_of_elsewhere_is_refused():
    tensors = _arguments("LSTM", (5, 2, 3, 4))
    meta = tensors | {"h": tensors["h"].to("meta")}
    assert not BACKENDS["cpu"].serves(_problem("LSTM", meta))
    with pytest.raises(ValueError, match="differ in type or device"):
        _compiled("LSTM", meta, None)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        operators.layer(_problem("LSTM", meta))


def test_a_negated_view():
    tensors = _arguments("LSTM", (5, 2, 3, 4))
    z = torch.randn(5, 2, 3, dtype=torch.complex64)
    view = z.conj().imag
    assert view.is_neg()
    found = _compiled("LSTM", tensors | {"x": view}, None)[0]
    expected = _compiled("LSTM", tensors | {"x": view.clone().resolve_neg()}, None)[0]
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layer", [tnn.LookaheadSRLSTM, tnn.AdamLSTM, tnn.MomentumLSTM])
def test_every_rule_runs_on_the_kernels_in_every_precision(layer, dtype, monkeypatch):
    called = []
    monkeypatch.setattr(forward, "call", lambda name, *a: (called.append(name), call(name, *a))[1])
    module = layer(20, 6).to(dtype)
    out, _ = module(torch.randn(5, 8, 20, dtype=dtype))
    assert out.dtype == dtype
    assert "lstm_forward" in called


def test_autocast_leaves_double_precision_alone():
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        for layer in (torch.nn.LSTM, tnn.LSTM, tnn.MomentumLSTM, tnn.AdamLSTM):
            out, _ = layer(5, 6).double()(x)
            assert out.dtype == torch.float64, layer
