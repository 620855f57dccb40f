"""The minimal gated recurrent unit beside its step, alone and with every rule."""

import pytest
import torch

import torchmomentum.nn as tnn
from tests.reference import layers

T, B, N, H = 7, 3, 4, 5


def _by_hand(layer, x, h):
    """The paper's equations, on drives that the rule has gone over."""
    out = []
    for y in layers.drives(layer, x):
        z, candidate = torch.sigmoid(y[:, :H]), y[:, H:]
        h = (1 - z) * h + z * candidate
        out.append(h)
    return torch.stack(out)


@pytest.mark.filterwarnings("ignore:.* has no momentum with it")
@pytest.mark.parametrize("rule", layers.SCANNED_RULES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_its_equations(rule, bias, dtype, tolerance):
    torch.manual_seed(0)
    layer = tnn.MinGRU(N, H, bias=bias, dtype=dtype, momentum=layers.SCANNED_RULES[rule]())
    x = torch.randn(T, B, N, dtype=dtype, requires_grad=True)
    h = torch.randn(B, H, dtype=dtype, requires_grad=True)
    out, last = layer(x, h.unsqueeze(0))
    expected = _by_hand(layer, x, h)
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(last[0], expected[-1], rtol=tolerance, atol=tolerance)
    inputs, probe = [x, h, *layer.parameters()], torch.randn_like(out)
    found = torch.autograd.grad((out * probe).sum(), inputs)
    for a, b in zip(found, torch.autograd.grad((expected * probe).sum(), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=10 * tolerance)


def test_half_precision_keeps_the_state_in_float32():
    """Of 2,000 small additions bfloat16 would lose most."""
    layer = tnn.MinGRU(N, H, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.copy_(torch.tensor([-6.0] * H + [1.0] * H))
    out = layer(torch.zeros(2000, 1, N, dtype=torch.bfloat16))[0]
    assert out.dtype == torch.bfloat16
    kept = torch.sigmoid(torch.tensor(6.0, dtype=torch.float64)) ** 2000
    torch.testing.assert_close(out[-1].double(), (1 - kept).expand(1, H), rtol=0, atol=0.004)


def test_options_of_recurrent_weights_are_rejected_for_a_cell_of_ones_own():
    class Own(tnn.Recurrent):
        cell = tnn.MinGRU.cell

    for name in ("recurrent_dropout", "weight_dropout", "zoneout"):
        with pytest.raises(ValueError, match=f"no recurrent weights, and no {name}"):
            Own(N, H, **{name: 0.1})
        with pytest.raises(ValueError, match=f"no recurrent weights, and no {name}"):
            tnn.MinGRU(N, H, **{name: 0.1})
    with pytest.raises(ValueError, match="no layer normalization"):
        Own(N, H, layer_norm=True)
