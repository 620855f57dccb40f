"""One suite for every backend of a recurrence, beside the loop of its definition in float64.

Triton's kernels run under its interpreter here, and on the device where there is one.
"""

import numpy as np
import pytest
import torch

from tests.interpreter import need_triton
from torchmomentum.ops import (
    BACKENDS,
    Modifiers,
    Moments,
    Plan,
    Problem,
    available,
    planned,
    run,
    scan,
)
from torchmomentum.ops._problem import Layout
from torchmomentum.ops.cells import LSTM, Cell, find
from torchmomentum.ops.triton.launch import CELLS

MODES = list(CELLS)
SHAPES = {  # T, B, H
    "one of everything": (1, 1, 1),
    "one row": (5, 1, 18),
    "one step": (1, 4, 16),
    "odd": (4, 19, 7),
    "wide": (3, 2, 37),
}
MODIFIED = {
    "plain": lambda t, b, h, d: {},
    "lookahead": lambda t, b, h, d: {"steps": torch.arange(b) % 3, "restart": 4},
    "dropout": lambda t, b, h, d: {"keep_mask": _some(b, h), "keep_scale": 1.7},
    "zoneout": lambda t, b, h, d: {"zoneout_h": _some(t, b, h), "zoneout_c": _some(t, b, h)},
    "zoneout's mean": lambda t, b, h, d: {"rate_h": 0.3, "rate_c": 0.2},
    "normalization": lambda t, b, h, d: {},
    "all, normalized": lambda t, b, h, d: MODIFIED["all"](t, b, h, d),
    "all": lambda t, b, h, d: {
        "steps": torch.arange(b) % 5,
        "keep_mask": _some(b, h),
        "keep_scale": 1.7,
        "zoneout_h": _some(t, b, h),
        "rate_c": 0.2,
    },
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _some(*shape):
    return torch.rand(*shape) < 0.4


def _serves(backend, mode, modified, lengths):
    """What each backend promises to serve, of what is tried here."""
    if backend == "aten":
        return mode != "RNN_MODRELU" and modified == "plain" and lengths is None
    if backend == "eager":
        return mode != "RNN_MODRELU" and modified == "plain"
    return "normal" not in modified or backend != "triton"


def _require(backend):
    """Skips where a backend cannot be had on this machine."""
    if backend == "cpu" and not (available() and DEVICE == "cpu"):
        pytest.skip("no compiled kernels here")
    if backend == "triton":
        need_triton()


def _draw(mode, shape, modified, dtype, bias=True):
    time, batch, hidden = shape
    rows = find(mode).gates * hidden
    tensors = {"pre": torch.randn(time, batch, rows), "h": torch.randn(batch, hidden)}
    if mode == "LSTM":
        tensors["c"] = torch.randn(batch, hidden)
    tensors["weight_hh"] = torch.randn(rows, hidden) / (2 * hidden**0.5)
    if bias:
        tensors["bias_hh"] = torch.randn(rows)
    if mode == "RNN_MODRELU":
        tensors["bias_modrelu"] = torch.randn(hidden)
    given = MODIFIED[modified](*shape, None)
    if "steps" in given:
        tensors["previous"] = torch.randn(batch, hidden)
    if "normal" in modified:
        tensors["norm_hh"] = torch.randn(rows)
        if mode == "LSTM":
            tensors |= {"norm_c": torch.randn(hidden), "norm_c_bias": torch.randn(hidden)}
    tensors = {k: x.to(DEVICE, dtype).requires_grad_() for k, x in tensors.items()}
    given = {k: x.to(DEVICE) if isinstance(x, torch.Tensor) else x for k, x in given.items()}
    return tensors, given


def _run(mode, tensors, given, lengths, backend):
    state = tuple(tensors[name] for name in ("h", "c") if name in tensors)
    weights = [tensors["weight_hh"], tensors.get("bias_hh")]
    if mode == "RNN_MODRELU":
        weights.append(tensors["bias_modrelu"])
    names = ("previous", "norm_hh", "norm_c", "norm_c_bias")
    modifiers = Modifiers(**given, **{name: tensors.get(name) for name in names})
    return scan(mode, tensors["pre"], state, weights, lengths, modifiers, backend)


def _compare(mode, tensors, given, lengths, backend, tolerance):
    exact = {k: x.detach().double().requires_grad_() for k, x in tensors.items()}
    found = _run(mode, tensors, given, lengths, backend)
    expected = _run(mode, exact, given, lengths, "loop")
    dtype = tensors["pre"].dtype
    probes = [torch.randn_like(x) for x in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, check_dtype=False)
    grads = (
        torch.autograd.grad(out, list(x.values()), [p.to(out[0].dtype) for p in probes])
        for out, x in ((found, tensors), (expected, exact))
    )
    for name, a, b in zip(tensors, *grads, strict=True):
        assert a.dtype == dtype
        scale = max(1.0, b.abs().max().item())
        torch.testing.assert_close(
            *(a.double() / scale, b / scale),
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.fixture
def poisoned():
    """Fills what is allocated with NaN: nothing that a kernel leaves unwritten may be read."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


BESIDE = [name for name in BACKENDS if name != "loop"]
backends = pytest.mark.parametrize("backend", BESIDE)
# those that serve a cell at all: RNN_MODRELU has no gradient written out and no kernel of PyTorch's
served = pytest.mark.parametrize(
    ("backend", "mode"),
    [(b, m) for b in BESIDE for m in MODES if m != "RNN_MODRELU" or b not in ("eager", "aten")],
)
modes = pytest.mark.parametrize("mode", MODES)


@served
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(backend, mode, shape, poisoned):
    _require(backend)
    tensors, given = _draw(mode, SHAPES[shape], "plain", torch.float32)
    _compare(mode, tensors, given, None, backend, 1e-4)


@backends
@modes
@pytest.mark.parametrize("modified", MODIFIED)
@pytest.mark.parametrize("padded", [False, True])
def test_modifiers_and_lengths(backend, mode, modified, padded, poisoned):
    lengths = torch.tensor([5, 1, 3], device=DEVICE) if padded else None
    _require(backend)
    tensors, given = _draw(mode, (5, 3, 6), modified, torch.float32)
    if _serves(backend, mode, modified, lengths):
        _compare(mode, tensors, given, lengths, backend, 1e-4)
    else:
        with pytest.raises(ValueError, match=f"backend '{backend}' serves"):
            _run(mode, tensors, given, lengths, backend)


@modes
@pytest.mark.parametrize("modified", ["normalization", "all, normalized"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "shape", [(8, 3, 250), (7, 40, 61), (1, 3, 6)], ids=["units shared", "rows shared", "one step"]
)
def test_normalization_in_threads_and_chunks_of_the_cpu(
    mode, modified, padded, shape, threads, poisoned, monkeypatch
):
    _require("cpu")
    monkeypatch.setattr("torchmomentum.ops.cpu.chunks._CACHED", 1)
    monkeypatch.setattr("torchmomentum.ops.cpu.chunks._ROWS", 3 * shape[1])
    tensors, given = _draw(mode, shape, modified, torch.float32)
    lengths = torch.randint(1, shape[0] + 1, shape[1:2]) if padded else None
    _compare(mode, tensors, given, lengths, "cpu", 1e-4)


@served
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(backend, mode, dtype):
    _require(backend)
    if backend == "aten" and DEVICE == "cpu" and dtype == torch.float16:
        pytest.skip("PyTorch's own layers have no half on a CPU")
    tensors, given = _draw(mode, (5, 3, 6), "plain", dtype)
    _compare(mode, tensors, given, None, backend, 4e-2 if dtype == torch.bfloat16 else 6e-3)


@served
def test_without_bias_and_non_contiguous(backend, mode):
    _require(backend)
    tensors, given = _draw(mode, (4, 3, 5), "plain", torch.float32, bias=False)
    for name, x in tensors.items():
        tensors[name] = torch.stack([x.detach()] * 2, -1)[..., 0].requires_grad_()
    _compare(mode, tensors, given, None, backend, 1e-4)


@pytest.mark.parametrize("modified", ["plain", "all"])
@modes
def test_several_tiles_of_units(mode, modified, poisoned):
    """What a program cannot hold at once: units shared out, weights that stay or are read again."""
    need_triton()
    for cut in (Plan(16, 16, 64, 4, stationary=True), Plan(16, 16, 16, 4, stationary=False)):
        tensors, given = _draw(mode, (3, 18, 37), modified, torch.float32)
        lengths = torch.randint(1, 4, (18,), device=DEVICE)
        with planned(cut):
            _compare(mode, tensors, given, lengths, "triton", 1e-4)


@pytest.mark.parametrize("modified", ["plain", "all"])
@modes
def test_ensembles_in_one_launch(mode, modified, monkeypatch):
    need_triton()
    from torchmomentum.ops.triton import launch as triton

    drawn = [_draw(mode, (4, 3, 6), modified, torch.float32) for _ in range(3)]
    given = drawn[0][1]
    members = [{k: x.detach() for k, x in tensors.items()} for tensors, _ in drawn]
    launches = []
    run = triton.Launch.run
    monkeypatch.setattr(
        triton.Launch, "run", lambda self, *a, **k: (launches.append(1), run(self, *a, **k))[1]
    )

    def loss(tensors):
        return _run(mode, tensors, given, None, "triton")[0].square().sum()

    together = {k: torch.stack([m[k] for m in members]) for k in members[0]}
    found = torch.func.vmap(torch.func.grad(loss))(together)
    count = len(launches)
    for i, member in enumerate(members):
        for name, grad in torch.func.grad(loss)(member).items():
            torch.testing.assert_close(found[name][i], grad, rtol=1e-4, atol=1e-5)
    assert count <= (len(launches) - count) / 3 * 2  # the forward may be run once more


@pytest.mark.parametrize("key", ["LSTM", "GRU", "RNN_TANH"])
@pytest.mark.parametrize("backend", ["eager", "definition", "loop"])
def test_a_last_state_shares_no_memory_with_the_outputs(key, backend):
    cell = find(key)
    pre, state = torch.randn(5, 2, cell.gates * 3), tuple(torch.zeros(2, 3) for _ in cell.states)
    out, *last = scan(cell, pre, state, [torch.randn(cell.gates * 3, 3), None], backend=backend)
    for part in last:
        part.fill_(7.0)
    assert not (out == 7.0).any()


@pytest.mark.parametrize("backend", ["eager", "definition", "loop"])
def test_moments_stop_where_their_sequence_ends(backend):
    x, zero = torch.randn(5, 2, 4), torch.zeros(2, 4)
    given = {"weight_hh": torch.randn(4, 4), "weight_ih": torch.eye(4)}
    moments = Moments(zero, zero, torch.tensor(0.5), torch.tensor(1.0), 0.9, 1e-8)
    problem = Problem(find("RNN_TANH"), x, (zero,), **given, moments=moments)
    *_, velocity, rms = run(problem._replace(lengths=torch.tensor([5, 2])), backend)
    for row, length in enumerate((5, 2)):
        *_, v, r = run(problem._replace(x=x[:length]), backend)
        torch.testing.assert_close((velocity[row], rms[row]), (v[row], r[row]))


def test_products_are_in_bfloat16_only_where_an_operator_says_so():
    problem = Problem(LSTM, torch.zeros(5, 2, 3), (torch.zeros(2, 4),) * 2, torch.zeros(16, 4))
    layout = Layout.of(LSTM)
    assert not layout.problem(problem.flat()).bfloat16_products
    assert layout.problem(problem.flat(bfloat16_products=True)).bfloat16_products


def test_an_operators_key_is_no_argument():
    with pytest.raises(TypeError, match="key"):
        Cell("Own", 1, lambda *given: None, key="LSTM")


@pytest.mark.parametrize("backend", [None, "definition"])
def test_numbers_of_modifiers_may_be_numpys(backend):
    x, zero = torch.randn(5, 2, 3), torch.zeros(2, 4)
    given = {"weight_hh": torch.randn(4, 4), "weight_ih": torch.randn(4, 3)}
    problem = Problem(find("RNN_TANH"), x, (zero,), **given)
    steps = torch.zeros(2, dtype=torch.int32)
    found = [
        run(problem._replace(modifiers=Modifiers(steps=s, previous=zero, restart=r)), backend)
        for s, r in ((steps.long(), 2), (steps, np.float64(2)))
    ]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("backend", [None, "eager", "definition", "loop"])
def test_a_sequence_has_a_step(backend):
    zero = torch.zeros(2, 4)
    problem = Problem(LSTM, torch.zeros(0, 2, 16), (zero, zero), torch.zeros(16, 4))
    for action in (
        lambda: run(problem, backend),
        lambda: scan("LSTM", problem.x, problem.state, [problem.weight_hh, None], backend=backend),
    ):
        with pytest.raises(ValueError, match="at least one step, got 0"):
            action()
