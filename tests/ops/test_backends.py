"""One suite for every backend of a recurrence, beside the definition in float64.

Triton's kernels run under its interpreter here, and on the device where there is one.
"""

import pytest
import torch

from torchmomentum.ops import BACKENDS, Modifiers, Plan, available, planned, scan
from torchmomentum.ops.cells import find
from torchmomentum.ops.triton.launch import CELLS

MODES = list(CELLS)
SHAPES = {  # T, B, H
    "one of everything": (1, 1, 1),
    "one row": (5, 1, 18),
    "one step": (1, 4, 16),
    "odd": (4, 19, 7),
    "wide": (3, 2, 37),
}
OPTIONS = {
    "plain": lambda t, b, h, d: {},
    "lookahead": lambda t, b, h, d: {"steps": torch.arange(b) % 3, "restart": 4},
    "dropout": lambda t, b, h, d: {"keep_mask": _some(b, h), "keep_scale": 1.7},
    "zoneout": lambda t, b, h, d: {"zoneout_h": _some(t, b, h), "zoneout_c": _some(t, b, h)},
    "zoneout's mean": lambda t, b, h, d: {"rate_h": 0.3, "rate_c": 0.2},
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


def _serves(backend, mode, options, lengths):
    """What each backend promises to serve, of what is tried here."""
    if backend == "aten":
        return mode != "RNN_MODRELU" and options == "plain" and lengths is None
    if backend == "eager":
        return mode != "RNN_MODRELU" and options == "plain"
    return True


def _here(backend):
    """Whether a backend can be had on this machine."""
    if backend == "cpu":
        return available() and DEVICE == "cpu"
    if backend == "triton":
        pytest.importorskip("triton")
    return True


def _draw(mode, shape, options, dtype, bias=True):
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
    given = OPTIONS[options](*shape, None)
    if "steps" in given:
        tensors["previous"] = torch.randn(batch, hidden)
    tensors = {k: x.to(DEVICE, dtype).requires_grad_() for k, x in tensors.items()}
    given = {k: x.to(DEVICE) if isinstance(x, torch.Tensor) else x for k, x in given.items()}
    return tensors, given


def _run(mode, tensors, given, lengths, backend):
    state = tuple(tensors[name] for name in ("h", "c") if name in tensors)
    weights = [tensors["weight_hh"], tensors.get("bias_hh")]
    if mode == "RNN_MODRELU":
        weights.append(tensors["bias_modrelu"])
    options = Modifiers(**given, previous=tensors.get("previous"))
    return scan(mode, tensors["pre"], state, weights, lengths, options, backend)


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


backends = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "loop"])
modes = pytest.mark.parametrize("mode", MODES)


@backends
@modes
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(backend, mode, shape, poisoned):
    if _here(backend) and _serves(backend, mode, "plain", None):
        tensors, given = _draw(mode, SHAPES[shape], "plain", torch.float32)
        _compare(mode, tensors, given, None, backend, 1e-4)


@backends
@modes
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("padded", [False, True])
def test_options_and_lengths(backend, mode, options, padded, poisoned):
    lengths = torch.tensor([5, 1, 3], device=DEVICE) if padded else None
    if not _here(backend):
        return
    tensors, given = _draw(mode, (5, 3, 6), options, torch.float32)
    if _serves(backend, mode, options, lengths):
        _compare(mode, tensors, given, lengths, backend, 1e-4)
    else:
        with pytest.raises(ValueError, match=f"backend '{backend}' serves"):
            _run(mode, tensors, given, lengths, backend)


@backends
@modes
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(backend, mode, dtype):
    if not _here(backend) or not _serves(backend, mode, "plain", None):
        return
    if backend == "aten" and DEVICE == "cpu" and dtype == torch.float16:
        pytest.skip("PyTorch's own layers have no half on a CPU")
    tensors, given = _draw(mode, (5, 3, 6), "plain", dtype)
    _compare(mode, tensors, given, None, backend, 4e-2 if dtype == torch.bfloat16 else 6e-3)


@backends
@modes
def test_without_bias_and_non_contiguous(backend, mode):
    if not _here(backend) or not _serves(backend, mode, "plain", None):
        return
    tensors, given = _draw(mode, (4, 3, 5), "plain", torch.float32, bias=False)
    for name, x in tensors.items():
        tensors[name] = torch.stack([x.detach()] * 2, -1)[..., 0].requires_grad_()
    _compare(mode, tensors, given, None, backend, 1e-4)


@pytest.mark.parametrize("options", ["plain", "all"])
@modes
def test_several_tiles_of_units(mode, options, poisoned):
    """What a program cannot hold at once: units shared out, weights that stay or are read again."""
    pytest.importorskip("triton")
    for cut in (Plan(16, 16, 64, 4, stationary=True), Plan(16, 16, 16, 4, stationary=False)):
        tensors, given = _draw(mode, (3, 18, 37), options, torch.float32)
        lengths = torch.randint(1, 4, (18,), device=DEVICE)
        with planned(cut):
            _compare(mode, tensors, given, lengths, "triton", 1e-4)


@pytest.mark.parametrize("options", ["plain", "all"])
@modes
def test_ensembles_in_one_launch(mode, options, monkeypatch):
    pytest.importorskip("triton")
    from torchmomentum.ops.triton import launch as triton

    drawn = [_draw(mode, (4, 3, 6), options, torch.float32) for _ in range(3)]
    given = drawn[0][1]
    members = [{k: x.detach() for k, x in tensors.items()} for tensors, _ in drawn]
    launches = []
    run = triton._Launch.run
    monkeypatch.setattr(
        triton._Launch, "run", lambda self, *a, **k: (launches.append(1), run(self, *a, **k))[1]
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
