"""Any finite input, at any legal hyperparameter, gives finite outputs and gradients."""

import math

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.nn.rules import bounded
from torchmomentum.ops.backends import cpu
from torchmomentum.ops.filters import linear

_ASKED = (cpu, linear)  # where a layer asks whether there are kernels

RULES = {
    "momentum": tnn.Momentum(0.6, 1.0),
    "heavy": tnn.Momentum(math.nextafter(1.0, 0.0), 9e5),
    "nesterov": tnn.Nesterov(1.0),
    "released": tnn.NesterovLookahead(9e5),
    "adam": tnn.Adam(0.6, 1.0, 0.01),
    "adam_long": tnn.Adam(0.99, 1.0, 0.0),
    "adam_extreme": tnn.Adam(math.nextafter(1.0, 0.0), 9e5, 0.999, 1e-16),
    "rmsprop": tnn.RMSProp(0.6, 0.9),
    "rmsprop_forgetful": tnn.RMSProp(1.0, 0.0),
}


def _silent(time):
    x = torch.rand(time, 2, 3)
    x[20 : time - 5] = 0.0
    return x


INPUTS = {
    "zero": torch.zeros(60, 2, 3),
    "silent": _silent(1030),
    "large": 1e30 * torch.randn(20, 2, 3),
    "largest": torch.full((20, 2, 3), torch.finfo(torch.float32).max),
    "tiny": torch.full((20, 2, 3), 1e-42),
}


@pytest.mark.parametrize(
    "way", ["kernels", "no bias", "autocast", "no kernels", "normalized", "float64"]
)
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", RULES)
def test_stays_finite(name, kind, way, monkeypatch):
    if way == "no kernels":
        for module in _ASKED:
            asked = "available" if hasattr(module, "available") else "computes"
            monkeypatch.setattr(module, asked, lambda *tensors: False)
    dtype = torch.float64 if way == "float64" else torch.float32
    options = {"bias": way != "no bias", "layer_norm": way == "normalized", "dtype": dtype}
    layer = tnn.LSTM(3, 4, 2, momentum=RULES[name], **options)
    if way != "no bias":
        tnn.paper_init_(layer)  # biases of exactly zero
    x = INPUTS[kind].to(dtype, copy=True)
    if way == "normalized":
        x = x[:60]  # it has no kernel
    if dtype == torch.float64 and kind != "silent":
        x = {"largest": torch.full_like(x, torch.finfo(dtype).max), "tiny": x * 1e-280}.get(kind, x)
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        out, state = layer(x, layer.initial_state(2))
    assert out.isfinite().all()
    assert all(t.isfinite().all() for momentum in state[2] for t in momentum)
    out.float().square().sum().backward()
    assert x.grad.isfinite().all()
    for parameter in layer.parameters():
        assert parameter.grad.isfinite().all()


def test_the_papers_squares_do_not():
    """What the rule avoids: the printed form, differentiated, at a drive that falls silent."""
    drive = torch.zeros(3, requires_grad=True)
    square = 0.99 * drive**2
    (drive / (square.sqrt() + 1e-8)).sum().backward()
    assert drive.grad.isnan().all()


def test_autocast_follows_torchs_types():
    layer, original = tnn.MomentumLSTM(3, 4), torch.nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out, (h, c) = layer(x)
        # given float32, PyTorch's fails on a processor without bfloat16
        expected, (other_h, other_c) = original(x.bfloat16())
    assert [t.dtype for t in (out, h, c)] == [t.dtype for t in (expected, other_h, other_c)]
    out.float().sum().backward()
    assert layer.weight_ih_l0.grad.dtype == torch.float32
    nonlinear = tnn.AdamLSTM(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        out, state = nonlinear(x, nonlinear.initial_state(2))
    assert out.dtype == torch.bfloat16
    assert state[2][0].rms.dtype == torch.float32


def test_a_drive_is_bounded_by_the_root_of_the_largest_number():
    root = torch.finfo(torch.float32).max ** 0.5
    found = bounded(torch.tensor([-1e30, 1.0, 1e30]))
    torch.testing.assert_close(found, torch.tensor([-root, 1.0, root]))
    torch.testing.assert_close(bounded(torch.tensor([1e30]), 4.0), torch.tensor([root / 4]))
