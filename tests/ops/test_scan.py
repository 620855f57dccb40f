from functools import partial

import pytest
import torch

from tests.interpreter import need_triton
from torchmomentum.ops import (
    BACKENDS,
    Modifiers,
    Problem,
    gru_scan,
    lstm_scan,
    rnn_scan,
    run,
    scan,
    scan_definition,
)
from torchmomentum.ops.backends.aten import padded
from torchmomentum.ops.cells import LSTM, find
from torchmomentum.ops.triton.launch import CELLS

T, B, H = 4, 3, 2


def _draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("mode", "bias", "projected"),
    [
        (m, b, p)
        for m in CELLS
        for b in (True, False)
        for p in (False, True)
        if m == "LSTM" or not p
    ],
)
def test_equals_its_definition_with_both_orders_of_gradients(mode, bias, projected, masked):
    width = 1 if projected else H
    rows = find(mode).gates * H
    state = (_draw(B, width), _draw(B, H)) if mode == "LSTM" else (_draw(B, H),)
    weights = [_draw(rows, width), _draw(rows) if bias else None]
    if mode == "LSTM":
        weights.append(_draw(1, H) if projected else None)
    if mode == "RNN_MODRELU":
        weights.append(_draw(H))
    everything = [_draw(T, B, rows), *state, *weights]
    lengths = torch.tensor([4, 2, 1]) if masked else None

    def run(backend):
        def call(*tensors):
            given = iter(tensors)
            pre, *rest = (None if x is None else next(given) for x in everything)
            count = len(state)
            return scan(mode, pre, tuple(rest[:count]), rest[count:], lengths, backend=backend)

        return call

    tensors = [x for x in everything if x is not None]
    for a, b in zip(run(None)(*tensors), run("loop")(*tensors), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(run(None), tensors)
    assert torch.autograd.gradgradcheck(run(None), tensors, fast_mode=True)


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pytorchs_layers_equals_the_definition(mode, dtype):
    rows = find(mode).gates * H
    x = torch.randn(T, B, 5, dtype=dtype, requires_grad=True)
    count = 2 if mode == "LSTM" else 1
    state = tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in range(count))
    shapes = [(rows, 5), (rows, H), (rows,), (rows,)]
    weights = [torch.randn(*s, dtype=dtype, requires_grad=True) for s in shapes]
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    problem = Problem(find(mode), x, state, weight_hh, weight_ih, bias_ih, bias_hh)
    found = run(problem, "aten")
    recurrent = [weights[1], weights[3]] + ([None] if mode == "LSTM" else [])
    pre = torch.nn.functional.linear(x, weights[0], weights[2])
    expected = scan_definition(mode, pre, state, recurrent)
    inputs = [x, *state, *weights]
    tolerance = {"rtol": 0, "atol": 2e-5 if dtype == torch.float32 else 1e-12}
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    for a, b in zip(
        torch.autograd.grad(sum((y * y.sin()).sum() for y in found), inputs, create_graph=True),
        torch.autograd.grad(sum((y * y.sin()).sum() for y in expected), inputs, create_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **tolerance)
        first = torch.autograd.grad(a.square().sum(), inputs, retain_graph=True, allow_unused=True)
        second = torch.autograd.grad(b.square().sum(), inputs, retain_graph=True, allow_unused=True)
        for p, q in zip(first, second, strict=True):
            if q is not None:
                torch.testing.assert_close(
                    p, q, rtol=1e-3, atol=1e-4 if p.dtype != torch.float64 else 1e-10
                )


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_pytorchs_layers_packed_equal_each_sequence_alone(mode):
    cell, lengths = find(mode), torch.tensor([T, 3, 1])
    rows = cell.gates * H
    x, state = torch.randn(T, B, 5), tuple(torch.randn(B, H) for _ in cell.states)
    weight_ih, weight_hh, bias_ih, bias_hh = (
        torch.randn(s) for s in [(rows, 5), (rows, H), (rows,), (rows,)]
    )
    problem = Problem(cell, x, state, weight_hh, weight_ih, bias_ih, bias_hh)
    sizes = (torch.arange(T).unsqueeze(1) < lengths).sum(1)
    out, *last = run(problem._replace(lengths=lengths, batch_sizes=sizes), "aten")
    for row, length in enumerate(lengths.tolist()):
        here = slice(row, row + 1)
        alone = problem._replace(x=x[:length, here], state=tuple(s[here] for s in state))
        expected = run(alone, "aten")
        torch.testing.assert_close(out[:length, here], expected[0])
        assert (out[length:, here] == 0).all()
        for a, b in zip(last, expected[1:], strict=True):
            torch.testing.assert_close(a[here], b)


def test_padding_to_persistent_kernels_is_exact():
    x = torch.randn(T, B, 5, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(B, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    shapes = [(4 * H, 5), (4 * H, H), (4 * H,), (4 * H,)]
    weights = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    seen = []

    def observed(problem):
        seen.append((tuple(problem.x.shape), tuple(problem.state[0].shape)))
        return run(problem, "aten")

    weight_ih, weight_hh, bias_ih, bias_hh = weights
    problem = Problem(LSTM, x, state, weight_hh, weight_ih, bias_ih, bias_hh)
    found = padded(problem, observed)
    assert seen == [((T, 8, 128), (8, H))]
    expected = run(problem, "aten")
    inputs = [x, *state, *weights]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(
        torch.autograd.grad(sum(y.square().sum() for y in found), inputs),
        torch.autograd.grad(sum(y.square().sum() for y in expected), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_outputs_share_no_memory():
    x, state = torch.randn(T, B, 5), (torch.zeros(B, H), torch.zeros(B, H))
    weights = [torch.randn(s) for s in [(4 * H, 5), (4 * H, H), (4 * H,), (4 * H,)]]
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    problem = Problem(LSTM, x, state, weight_hh, weight_ih, bias_ih, bias_hh)
    out, h, _ = run(problem, "aten")
    h.fill_(7.0)
    assert not (out[-1] == 7.0).any()


def test_wrong_calls_are_refused():
    pre, state = torch.zeros(T, B, 4 * H), (torch.zeros(B, H), torch.zeros(B, H))
    with pytest.raises(ValueError, match="cell must be a Cell or one of"):
        scan("LTSM", pre, state, [torch.zeros(4 * H, H), None, None])
    with pytest.raises(ValueError, match="needs a weight_hh of 8 rows"):
        scan("LSTM", pre, state, [torch.zeros(4, H), None, None])


def _small(mode, dtype=torch.float32):
    state = tuple(torch.randn(B, H, dtype=dtype) for _ in range(2 if mode == "LSTM" else 1))
    rows = find(mode).gates * H
    weights = [torch.randn(rows, H, dtype=dtype), torch.randn(rows, dtype=dtype)]
    if mode == "RNN_MODRELU":
        weights.append(torch.randn(H, dtype=dtype))
    return torch.randn(T, B, rows, dtype=dtype, requires_grad=True), state, weights


def test_named_recurrences_equal_the_originals():
    x = torch.randn(T, B, 5)
    for original, function in (
        (torch.nn.LSTM(5, H), lstm_scan),
        (torch.nn.GRU(5, H), gru_scan),
        (torch.nn.RNN(5, H), rnn_scan),
        (torch.nn.RNN(5, H, nonlinearity="relu"), partial(rnn_scan, nonlinearity="relu")),
    ):
        weight_ih, weight_hh, bias_ih, bias_hh = original.parameters()
        pre = torch.nn.functional.linear(x, weight_ih, bias_ih)
        zeros = [torch.zeros(B, H)] * (2 if function is lstm_scan else 1)
        out, *state = function(pre, *zeros, weight_hh, bias_hh)
        expected, last = original(x)
        torch.testing.assert_close(out, expected)
        for a, b in zip(state, last if function is lstm_scan else [last], strict=True):
            torch.testing.assert_close(a, b.squeeze(0))


def test_backends_that_cannot_serve_say_so():
    pre, state, weights = _small("GRU", torch.float64)
    with pytest.raises(ValueError, match=r"'cpu' serves float32.*got GRU of torch\.float64 on cpu"):
        scan("GRU", pre, state, weights, backend="cpu")
    with pytest.raises(
        ValueError, match="backend must be one of loop, definition, eager, aten, cpu, tr"
    ):
        scan("GRU", pre, state, weights, backend="cuda")
    with pytest.raises(ValueError, match="nonlinearity must be one of tanh, relu, modrelu"):
        rnn_scan(pre, *state, *weights, nonlinearity="sigmoid")
    for backend in ("aten", "eager", "triton"):
        normalized = Modifiers(norm_hh=torch.ones(3 * H))
        with pytest.raises(ValueError, match=f"backend '{backend}' serves"):
            scan("GRU", pre.float(), state, weights, backend=backend, modifiers=normalized)


# --- what changes a plain recurrence -------------------------------------------------------------


def _some(*shape):
    return torch.rand(*shape) < 0.5


MODIFIED = {
    "lookahead": lambda d, m: {
        "steps": torch.tensor([0, 1, 5]),
        "previous": torch.randn(B, H, **d),
        "restart": 3,
    },
    "dropout": lambda d, m: {"keep_mask": _some(B, H), "keep_scale": 2.0},
    "zoneout": lambda d, m: {"zoneout_h": _some(T, B, H), "zoneout_c": _some(T, B, H)},
    "zoneout's mean": lambda d, m: {"rate_h": 0.3, "rate_c": 0.2},
    "normalization": lambda d, m: {
        "norm_hh": torch.randn(find(m).gates * H, **d),
        **(
            {"norm_c": torch.randn(H, **d), "norm_c_bias": torch.randn(H, **d)}
            if m == "LSTM"
            else {}
        ),
    },
}


def _with_modifiers(mode, name, dtype):
    pre, state, weights = _small(mode, dtype)
    return pre, state, weights, MODIFIED[name]({"dtype": dtype, "requires_grad": True}, mode)


@pytest.mark.parametrize("modified", MODIFIED)
@pytest.mark.parametrize("mode", list(CELLS))
def test_modifiers_have_both_orders_of_gradients(mode, modified):
    pre, state, weights, given = _with_modifiers(mode, modified, torch.float64)
    names = [name for name, x in given.items() if getattr(x, "requires_grad", False)]
    tensors = [x.detach().requires_grad_() for x in (pre, *state, *weights)]

    def run(*values):
        pre, *rest = values[: len(tensors)]
        modifiers = Modifiers(**(given | dict(zip(names, values[len(tensors) :], strict=True))))
        return scan(
            *(mode, pre, rest[: len(state)], rest[len(state) :], torch.tensor([4, 2, 1])),
            modifiers=modifiers,
        )

    values = [*tensors, *(given[name] for name in names)]
    assert torch.autograd.gradcheck(run, values)
    assert torch.autograd.gradgradcheck(run, values, fast_mode=True)


# torch's own forward mode still scripts some of its decompositions
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize(
    ("mode", "modified", "dtype"),  # cells and modifiers are two axes
    [("LSTM", "zoneout", torch.float64), ("GRU", "lookahead", torch.float32)]
    + [("LSTM", each, torch.float32) for each in MODIFIED]
    + [(mode, "normalization", torch.float32) for mode in CELLS if mode != "LSTM"],
)
def test_modifiers_in_one_graph_and_in_transforms(mode, modified, dtype):
    pre, state, weights, given = _with_modifiers(mode, modified, dtype)
    given = {k: x.detach() if isinstance(x, torch.Tensor) else x for k, x in given.items()}
    modifiers = Modifiers(**given)

    def run(pre):
        return scan(mode, pre, state, weights, modifiers=modifiers)[0]

    expected = run(pre)
    (grad,) = torch.autograd.grad(expected.square().sum(), pre)
    torch._dynamo.reset()
    close = {"rtol": 1e-3, "atol": 1e-4}  # a normalization of two units is steep
    compiled = torch.compile(run, fullgraph=True, dynamic=True, backend="aot_eager")(pre)
    torch.testing.assert_close(compiled, expected, **close)
    torch.testing.assert_close(torch.autograd.grad(compiled.square().sum(), pre)[0], grad, **close)

    both = torch.stack([pre.detach(), pre.detach() + 1])
    found = torch.func.vmap(torch.func.grad(lambda x: run(x).square().sum()))(both)
    torch.testing.assert_close(found[0], grad, **close)
    direction = torch.randn_like(pre)
    pushed = torch.func.jvp(lambda x: run(x).square().sum(), (pre.detach(),), (direction,))[1]
    torch.testing.assert_close(pushed, (grad * direction).sum(), **close)


def test_modifiers_by_hand():
    pre, (h,), (weight_hh, _) = _small("RNN_TANH", torch.float64)
    previous = torch.randn(B, H, dtype=torch.float64)
    steps = torch.tensor([2, 0, 7])
    modifiers = Modifiers(steps=steps, previous=previous, restart=3)
    out, _ = rnn_scan(pre, h, weight_hh, modifiers=modifiers)
    hs = [previous, h]
    for t in range(T):
        k = (steps + t) % 3
        mu = (k / (k + 3)).unsqueeze(1)
        ahead = (1 + mu) * hs[-1] - mu * hs[-2]
        hs.append(torch.tanh(pre[t] + ahead @ weight_hh.T))
    torch.testing.assert_close(out, torch.stack(hs[2:]))
    with pytest.raises(ValueError, match="needs both steps and previous"):
        rnn_scan(pre, h, weight_hh, modifiers=Modifiers(steps=steps))


def test_modrelu_by_hand():
    x = torch.tensor([[-3.0, -1.0, 0.0, 1.0, 3.0]])
    weight, h = torch.zeros(5, 5), torch.zeros(1, 5)
    for bias, expected in ((-2.0, [-1.0, 0, 0, 0, 1.0]), (0.5, [-3.5, -1.5, 0, 1.5, 3.5])):
        found, _ = rnn_scan(
            x[None], h, weight, None, torch.full((5,), bias), nonlinearity="modrelu"
        )
        assert found.flatten().tolist() == expected
    with pytest.raises(ValueError, match="bias_modrelu belongs to the nonlinearity"):
        rnn_scan(x[None], h, weight, nonlinearity="modrelu")


# --- what must not reach a kernel -----------------------------------------------------------------

BACKEND_NAMES = tuple(BACKENDS)


@pytest.mark.parametrize("backend", [*BACKEND_NAMES, None])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"keep_mask": torch.ones(B, H)}, TypeError, "keep_mask must be torch.bool"),
        (
            {"keep_mask": torch.ones(1, H, dtype=torch.bool)},
            ValueError,
            "keep_mask must have shape",
        ),
        ({"zoneout_h": torch.ones(1, B, H, dtype=torch.bool)}, ValueError, "zoneout_h must have"),
        ({"steps": torch.zeros(B + 1), "previous": torch.zeros(B, H)}, ValueError, "steps must"),
    ],
)
def test_modifiers_that_do_not_fit(change, error, words, backend):
    pre, state, weights = _small("LSTM")
    with pytest.raises(error, match=words):
        scan("LSTM", pre, state, weights, None, Modifiers(**change), backend)


@pytest.mark.parametrize("backend", [*BACKEND_NAMES, None])
def test_tensors_that_do_not_fit(backend):
    pre, state, weights = _small("LSTM")
    with pytest.raises(ValueError, match="bias_hh must have shape"):
        scan("LSTM", pre, state, [weights[0], torch.zeros(4)], backend=backend)
    with pytest.raises(ValueError, match="state must have shape"):
        scan("LSTM", pre, [s[:1] for s in state], weights, None, backend=backend)
    with pytest.raises(ValueError, match="lengths must have shape"):
        scan("LSTM", pre, state, weights, torch.tensor([1]), backend=backend)
    with pytest.raises(ValueError, match=r"LSTM has 2 state\(s\), got 1"):
        scan("LSTM", pre, state[:1], weights, None, backend=backend)
    pre, state, weights = _small("RNN_MODRELU")
    with pytest.raises(ValueError, match="needs its weight 'bias_modrelu'"):
        scan("RNN_MODRELU", pre, state, weights[:2], None, backend=backend)
    with pytest.raises(ValueError, match="has 2 recurrent weights, got 3"):
        scan("RNN_TANH", pre, state, weights, None, backend=backend)


def test_numbers_of_other_types():
    pre, state, weights = _small("LSTM")
    kept = torch.ones(B, H, dtype=torch.bool)
    expected = scan(
        "LSTM", pre, state, weights, None, Modifiers(keep_mask=kept, keep_scale=2.0), "definition"
    )
    found = scan(
        "LSTM", pre, state, weights, modifiers=Modifiers(keep_mask=kept, keep_scale=2, rate_h=0)
    )
    torch.testing.assert_close(found, expected)
    steps = Modifiers(steps=torch.tensor([-3, 0, 1], dtype=torch.int32), previous=state[0].detach())
    assert all(x.isfinite().all() for x in scan("LSTM", pre, state, weights, modifiers=steps))


@pytest.mark.parametrize("mode", list(CELLS))
def test_an_empty_batch(mode):
    for dtype in (torch.float32, torch.float64):
        pre, state, weights = _small(mode, dtype)
        pre = pre[:, :0].detach().requires_grad_()
        weights[0].requires_grad_()
        out = scan(mode, pre, tuple(s[:0] for s in state), weights)[0]
        (grad,) = torch.autograd.grad(out.sum(), weights[0])
        assert (grad == 0).all()


def test_what_triton_returns_is_its_own():
    need_triton()
    pre, state, weights = _small("LSTM")
    out, h, c = scan("LSTM", pre, state, weights, backend="triton")
    h.detach().zero_(), c.detach().zero_()
    out.sum().backward()
    for x in (out, h, c):
        assert x.untyped_storage().nbytes() == x.numel() * x.element_size()
