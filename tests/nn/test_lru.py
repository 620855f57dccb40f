"""The linear recurrent unit beside complex numbers, alone and with every rule."""

import copy
import math

import pytest
import torch

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.ops import linear_scan

T, B, N, H = 7, 3, 4, 5


def _eigenvalues(layer):
    return torch.polar(torch.exp(-layer.nu_log_l0.exp()), layer.theta_log_l0.exp())


def _by_hand(layer, u, x):
    """Equations (5) to (7) of the paper, in complex numbers, on drives that the rule went over."""
    eigenvalues, scale = _eigenvalues(layer), layer.gamma_log_l0.exp()
    readout = torch.complex(layer.weight_ro_l0[:, :H], layer.weight_ro_l0[:, H:])
    out = []
    for y in layers.drives(layer, u):
        x = eigenvalues * x + scale * torch.complex(y[:, :H], y[:, H : 2 * H])
        out.append((x @ readout.T).real + y[:, 2 * H :])
    return torch.stack(out), x


@pytest.mark.filterwarnings("ignore:.* has no momentum with it")
@pytest.mark.parametrize("rule", layers.SCANNED_RULES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_equals_its_equations(rule, bias, dtype, tolerance):
    torch.manual_seed(0)
    layer = tnn.LRU(N, H, bias=bias, dtype=dtype, momentum=layers.SCANNED_RULES[rule]())
    u = torch.randn(T, B, N, dtype=dtype, requires_grad=True)
    re, im = torch.randn(2, B, H, dtype=dtype).requires_grad_().unbind()
    out, (h, *last) = layer(u, (torch.zeros(1, B, H, dtype=dtype), re[None], im[None]))
    expected, state = _by_hand(layer, u, torch.complex(re, im))
    close = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(out, expected, **close)
    torch.testing.assert_close(h[0], expected[-1], **close)
    torch.testing.assert_close(torch.complex(*last)[0], state, **close)
    inputs, probe = [u, re, im, *layer.parameters()], torch.randn_like(out)
    found = torch.autograd.grad((out * probe).sum(), inputs)
    for a, b in zip(found, torch.autograd.grad((expected * probe).sum(), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=10 * tolerance)


def test_angles_stay_exact_over_long_sequences():
    """In float32 an angle of 4,000 steps would be off by 1e-3."""
    layer = tnn.LRU(N, H, r_min=0.999, r_max=0.9999)
    exact = copy.deepcopy(layer).double()
    u = torch.randn(4000, 1, N)
    zero = torch.zeros(1, H, dtype=torch.complex128)
    found, (expected, _) = layer(u)[0], _by_hand(exact, u.double(), zero)
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 2e-5
    found.square().mean().backward()
    expected.square().mean().backward()
    for name in ("theta_log_l0", "nu_log_l0"):
        a, b = getattr(layer, name).grad, getattr(exact, name).grad
        torch.testing.assert_close(a.double(), b, rtol=2e-3, atol=2e-3 * b.abs().max().item())


def test_begins_in_a_ring_with_states_of_unit_variance():
    torch.manual_seed(0)
    layer = tnn.LRU(64, 4000, r_min=0.6, r_max=0.9, max_phase=1.0, dtype=torch.float64)
    eigenvalues = _eigenvalues(layer).detach()
    squares, angles = eigenvalues.abs().square(), eigenvalues.angle()
    for values, low, high in ((squares, 0.36, 0.81), (angles, 0.0, 1.0)):
        assert low <= values.min() < values.max() <= high
        # uniform: mean and variance of 4,000 draws within five of their deviations
        assert abs(values.mean() - (low + high) / 2) < 5 * (high - low) / (12 * 4000) ** 0.5
        assert abs(values.var() / ((high - low) ** 2 / 12) - 1) < 5 * (0.8 / 4000) ** 0.5
    # the modulus says nothing of the angle
    assert abs(torch.corrcoef(torch.stack([squares, angles]))[0, 1]) < 5 / 4000**0.5
    # what is read and what is passed by, from inputs of variance one
    for weight, variance in (
        (layer.weight_ih_l0[:8000], 1 / 128),
        (layer.weight_ih_l0[8000:], 1 / 64),
    ):
        assert weight.square().mean().item() == pytest.approx(variance, rel=0.02)
    assert layer.weight_ro_l0.square().mean().item() == pytest.approx(1 / 4000, rel=0.01)
    # white noise in, and each complex state has a variance of one
    _, (_, re, im) = layer(torch.randn(60, 8, 64, dtype=torch.float64))
    assert abs((re.square() + im.square()).mean().item() - 1) < 0.05
    assert layer.weight_ro_l0.std().item() == pytest.approx(4000**-0.5, rel=0.02)
    assert not layer.bias_ih_l0.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_min": 1.0}, r"r_min must be .*got 1\.0"),
        ({"r_min": 0.5, "r_max": 0.5}, r"r_max must be .*got 0\.5"),
        ({"r_max": 1.5}, r"r_max must be .*got 1\.5"),
        ({"max_phase": 0.0}, r"max_phase must be .*got 0\.0"),
        ({"max_phase": 7.0}, r"max_phase must be .*got 7\.0"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        tnn.LRU(N, H, **options)
    tnn.LRU(N, H, r_max=1.0, max_phase=2 * math.pi)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_decay_that_is_the_same_at_each_step(reverse):
    decay = torch.rand(1, 1, N, requires_grad=True)
    x, start = torch.randn(T, B, N, requires_grad=True), torch.randn(B, N, requires_grad=True)
    results = []
    for decays in (decay, decay.expand(T, -1, -1)):
        out = linear_scan(x, decays, start, gain=0.7, reverse=reverse)
        results.append([out, *torch.autograd.grad(out.square().sum(), [x, decay, start])])
    torch.testing.assert_close(*results)
    doubles = [t.detach().double().requires_grad_() for t in (x, decay, start)]
    run = lambda *t: linear_scan(*t, gain=0.7, reverse=reverse)  # noqa: E731
    assert torch.autograd.gradcheck(run, doubles)
    assert torch.autograd.gradgradcheck(run, doubles)


def test_the_ring_is_the_whole_disk_where_nothing_is_said():
    torch.manual_seed(0)
    with torch.device("meta"):  # the layer says where it lies
        layer = tnn.LRU(N, 4000, device="cpu")
    eigenvalues = _eigenvalues(layer).detach()
    for values, high in ((eigenvalues.abs(), 1.0), (layer.theta_log_l0.exp(), 2 * math.pi)):
        assert values.min() < 0.05 * high
        assert 0.99 * high < values.max() <= high * (1 + 1e-6)


@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_eigenvalues_at_the_edges_of_the_ring_have_logarithms(drawn, monkeypatch):
    layer = tnn.LRU(N, H)
    monkeypatch.setattr(torch, "rand", lambda *size, **how: torch.full(size, drawn, **how))
    layer.reset_parameters()
    for name in ("nu_log_l0", "theta_log_l0", "gamma_log_l0"):
        assert getattr(layer, name).isfinite().all()
