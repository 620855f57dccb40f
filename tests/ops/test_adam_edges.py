"""The Adam rule where it is clamped, silent or over: the same of every implementation.

By hand, not against one another: what all get wrong alike shows too.
"""

import math

import pytest
import torch

from tests.interpreter import need_triton
from torchmomentum.ops import Moments, Problem, adam_scan, adam_scan_definition, available, run
from torchmomentum.ops.cells import RNN_RELU
from torchmomentum.ops.triton import filter_launch as filters

MU, GAIN, BETA, EPS = 0.5, 4.0, 0.75, 1e-3


def _definition(x, v, r, lengths):
    mu, gain = (torch.tensor(s, dtype=x.dtype) for s in (MU, GAIN))
    mask = None if lengths is None else _mask(x, lengths)
    return adam_scan_definition(x, v, r, mu, gain, mask, BETA, EPS)


def _mask(x, lengths):
    return (torch.arange(len(x))[:, None] < lengths).unsqueeze(-1)


def _operator(x, v, r, lengths):
    mask = None if lengths is None else _mask(x, lengths)
    return adam_scan(x, v, r, mu=MU, gain=GAIN, beta=BETA, eps=EPS, mask=mask)


def _compiled(x, v, r, lengths):
    """A ReLU network without recurrent weights shows what is above -1 as it is, plus 1."""
    zero = torch.zeros(x.shape[1], x.shape[2])
    moments, weight = Moments(v, r, MU, GAIN, BETA, EPS), torch.zeros(x.shape[2], x.shape[2])
    problem = Problem(RNN_RELU, x, (zero,), weight, lengths=lengths, moments=moments)
    out, _, *last = run(problem._replace(bias_hh=torch.ones(x.shape[2])), "cpu")
    return out - 1, *last


@pytest.fixture(params=["definition", "operator", "operator, float64", "triton", "compiled"])
def rule(request, monkeypatch):
    """An implementation, and the type it runs in."""
    if request.param == "compiled":
        if not available():
            pytest.skip("no C++ compiler here")
        return _compiled, torch.float32
    if request.param == "triton":
        need_triton()
        if torch.cuda.is_available():
            pytest.skip("interpreted kernels only")
        monkeypatch.setattr(filters, "serves", lambda x: x.dtype == torch.float32)
        return _operator, torch.float32
    if request.param == "operator":
        return _operator, torch.float32
    return _definition if request.param == "definition" else _operator, torch.float64


def _tensors(dtype, xs, v=0.0, r=0.0):
    x = torch.tensor(xs, dtype=dtype).view(-1, 1, 1).requires_grad_()
    state = [torch.tensor([[s]], dtype=dtype, requires_grad=True) for s in (v, r)]
    return x, *state


def test_a_clamped_drive_gets_no_gradient(rule):
    function, dtype = rule
    limit = math.sqrt(torch.finfo(dtype).max) / GAIN
    for size, passes in ((0.9 * limit, True), (1.1 * limit, False), (1e6 * limit, False)):
        x, v, r = _tensors(dtype, [1.0, size, 2.0], r=1.0)
        y, last_v, last_r = function(x, v, r, None)
        root, kept = 1.0, min(size, limit)  # the root stays at 1 with the first drive
        root = math.hypot(math.sqrt(BETA) * root, math.sqrt(1 - BETA) * kept)
        assert math.isclose(y[1].item(), GAIN * kept / root, rel_tol=1e-5)
        (grad,) = torch.autograd.grad(last_v.sum() / GAIN, x)
        assert math.isclose(grad[1].item(), MU if passes else 0.0, rel_tol=1e-5)
        assert math.isclose(grad[0].item(), MU**2, rel_tol=1e-5)
        assert last_r.isfinite().all()


def test_a_clamped_quotient_passes_no_gradient(rule):
    function, dtype = rule
    for start, passes in ((2.0, True), (50.0, False)):
        x, v, r = _tensors(dtype, [0.0], v=start)
        y, *_ = function(x, v, r, None)
        assert math.isclose(y.item(), MU * start / EPS if passes else 1e4, rel_tol=1e-5)
        grads = torch.autograd.grad(y.sum(), [x, v, r])
        assert math.isclose(grads[1].item(), MU / EPS if passes else 0.0, rel_tol=1e-5)
        assert all(g.isfinite().all() for g in grads)


def test_a_zero_root_has_a_derivative_of_zero(rule):
    function, dtype = rule
    x, v, r = _tensors(dtype, [0.0, 0.0, 0.0])
    y, last_v, last_r = function(x, v, r, None)
    assert y.eq(0).all()
    assert last_r.eq(0).all()
    grads = torch.autograd.grad(y.sum() + last_v.sum() + last_r.sum(), [x, v, r])
    assert grads[2].eq(0).all()
    # each drive reaches every later quotient, and the last velocity
    later = [sum(MU**k for k in range(n)) for n in (3, 2, 1)]
    expected = [GAIN * (later[i] / EPS + MU ** (2 - i)) for i in range(3)]
    wanted = torch.tensor(expected, dtype=dtype)
    torch.testing.assert_close(grads[0].flatten(), wanted, rtol=1e-5, atol=0)


def test_moments_stand_still_behind_a_sequences_end(rule):
    function, dtype = rule
    x = torch.rand(6, 3, 2, dtype=dtype) + 0.1
    v, r = (torch.rand(3, 2, dtype=dtype) for _ in range(2))
    lengths = torch.tensor([6, 1, 4])
    y, last_v, last_r = function(x, v, r, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = [t[row : row + 1] for t in (v, r)]
        own = function(x[:length, row : row + 1], *alone, None)
        torch.testing.assert_close(last_v[row], own[1][0])
        torch.testing.assert_close(last_r[row], own[2][0])
        torch.testing.assert_close(y[:length, row], own[0][:, 0])


def test_gradients_stop_at_a_sequences_end(rule):
    function, dtype = rule
    x = (torch.rand(6, 2, 2, dtype=dtype) + 0.1).requires_grad_()
    v, r = (torch.rand(2, 2, dtype=dtype).requires_grad_() for _ in range(2))
    _, last_v, last_r = function(x, v, r, torch.tensor([6, 2]))
    grads = torch.autograd.grad(last_v[1].sum() + last_r[1].sum(), [x, v, r])
    cut = x.detach()[:2, 1:].requires_grad_()
    alone = [t.detach()[1:].requires_grad_() for t in (v, r)]
    _, own_v, own_r = function(cut, *alone, None)
    own = torch.autograd.grad(own_v.sum() + own_r.sum(), [cut, *alone])
    torch.testing.assert_close(grads[0][:2, 1:], own[0])
    assert grads[0][2:].eq(0).all()
    for a, b in zip(grads[1:], own[1:], strict=True):
        torch.testing.assert_close(a[1:], b)


@pytest.mark.parametrize("loud", [1e25, -3e38])
def test_the_gain_s_gradient_is_of_the_bounded_drive(loud):
    """As the definition's: what is clamped does not grow with the drive."""
    found = []
    for scan in (adam_scan, adam_scan_definition):
        x = torch.full((2, 1, 3), loud)
        mu, gain = torch.tensor(0.6), torch.tensor(0.9, requires_grad=True)
        zero = torch.zeros(1, 3)
        if scan is adam_scan:
            y = scan(x, zero, zero, mu=mu, gain=gain, beta=0.9, eps=1e-8)[0]
        else:
            y = scan(x, zero, zero, mu, gain, None, 0.9, 1e-8)[0]
        y.sum().backward()
        found.append(gain.grad)
    torch.testing.assert_close(*found)


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_the_compiled_gain_s_gradient_is_too():
    found = []
    for backend in ("cpu", "loop"):
        x = torch.full((2, 1, 8), 1e25)
        gain = torch.tensor(0.9, requires_grad=True)
        zero = torch.zeros(1, 8)
        moments = Moments(zero, zero, torch.tensor(0.6), gain, 0.9, 1e-8)
        state = (torch.zeros(1, 8),)
        problem = Problem(RNN_RELU, x, state, torch.zeros(8, 8), torch.eye(8), moments=moments)
        run(problem, backend)[0].sum().backward()
        found.append(gain.grad)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("backend", ["cpu", "eager", "definition", "loop"])
def test_each_sequence_ends_with_its_own_moments(backend):
    """With lengths, a sequence is what it would be alone: output, velocity and root."""
    if backend == "cpu" and not available():
        pytest.skip("no C++ compiler here")
    torch.manual_seed(0)
    x, lengths = torch.randn(5, 3, 4), torch.tensor([5, 2, 1])
    zero = torch.zeros(3, 4)
    weights = torch.randn(4, 4) / 2, torch.eye(4)

    def computed(x, lengths, rows):
        moments = Moments(zero[rows], zero[rows], 0.6, 0.9, 0.8, 1e-3)
        problem = Problem(
            *(RNN_RELU, x[:, rows], (zero[rows],), *weights), lengths=lengths, moments=moments
        )
        return run(problem, backend)

    out, h, *last = computed(x, lengths, slice(None))
    for i, length in enumerate(lengths.tolist()):
        one, *ends = computed(x[:length], None, slice(i, i + 1))
        torch.testing.assert_close(out[:length, i : i + 1], one)
        for found, end in zip((h, *last), ends, strict=True):
            torch.testing.assert_close(found[i : i + 1], end)
