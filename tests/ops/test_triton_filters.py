"""The rules along time on Triton's kernels, beside the same on PyTorch operations in float64."""

import pytest
import torch

from tests.interpreter import need_triton
from torchmomentum.ops import adam_scan, linear_scan
from torchmomentum.ops.triton import filter_launch as filters

need_triton()

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def _forced(monkeypatch):
    """Float32 goes to the kernels, on whichever device; float64 never does."""
    monkeypatch.setattr(filters, "serves", lambda x: x.dtype == torch.float32)
    monkeypatch.setattr(filters, "CHUNK", 4)


def _both(run, tensors):
    exact = [t.detach().double().requires_grad_() for t in tensors]
    tensors = [t.detach().to(DEVICE).requires_grad_() for t in tensors]
    found, expected = run(*tensors), run(*exact)
    probes = [torch.randn_like(e) for e in expected]
    grads = []
    for out, inputs in ((found, tensors), (expected, exact)):
        kept = [p.to(out[0].device, out[0].dtype) for p in probes]
        grads.append(torch.autograd.grad(out, inputs, kept))
    for a, b in zip((*found, *grads[0]), (*expected, *grads[1]), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("decay", [0.7, (9, 1, 1), (9, 5, 1), (9, 1, 0), (9, 5, 0)])
@pytest.mark.parametrize("width", [3, 40])
def test_linear(decay, reverse, width):
    """A decay's width of 0 stands for one of each channel."""
    x, initial = torch.randn(9, 5, width), torch.randn(5, width)
    if isinstance(decay, float):
        _both(lambda x, v: [linear_scan(x, decay, v, gain=0.5, reverse=reverse)], [x, initial])
    else:
        tensors = [x, torch.rand(*decay[:2], decay[2] or width), initial]
        _both(lambda x, d, v: [linear_scan(x, d, v, gain=0.5, reverse=reverse)], tensors)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("time", [1, 4, 11])
@pytest.mark.parametrize("learned", [False, True])
def test_adam(masked, time, learned):
    mask = None
    if masked:
        mask = (torch.arange(time)[:, None] < torch.tensor([time, 1, 1])).unsqueeze(-1)
    tensors = [torch.randn(time, 3, 50), torch.randn(3, 50), torch.rand(3, 50) + 0.1]
    if learned:
        tensors += [torch.tensor(0.6), torch.tensor(0.8)]

    def run(x, v, r, mu=0.6, gain=0.8):
        here = None if mask is None else mask.to(x.device)
        return adam_scan(x, v, r, mu=mu, gain=gain, beta=0.7, eps=1e-3, mask=here)

    _both(run, tensors)


def test_silence_and_extremes_stay_finite():
    x = torch.tensor([0.0, 0.0, 3e38, -1e-42, 0.0], device=DEVICE).view(5, 1, 1).requires_grad_()
    zero = torch.zeros(1, 1, device=DEVICE)
    y, v, r = adam_scan(x, zero, zero, mu=0.9, gain=2.0, beta=0.5, eps=1e-8)
    (grad,) = torch.autograd.grad(y.sum() + v.sum() + r.sum(), x)
    assert all(t.isfinite().all() for t in (y, v, r, grad))
    assert (y[:2] == 0).all()
