"""The minimal gated recurrent unit beside its step, alone and with every rule."""

import copy
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchmomentum.nn as tnn
from torchmomentum.testing import check_rnn

RULES = {
    "none": None,
    "momentum": tnn.Momentum(0.6, 0.9, learnable=True),
    "nesterov": tnn.Nesterov(0.5, restart=3),
    "adam": tnn.Adam(),
    "rmsprop": tnn.RMSProp(),
}
T, B, N, H = 7, 3, 4, 5


@pytest.mark.parametrize("rule", RULES)
def test_keeps_the_contract(rule):

    def make(*args, **options):
        return tnn.MinGRU(*args, momentum=copy.deepcopy(RULES[rule]), **options)

    check_rnn(make, skip=["gradients", "types"] if rule == "momentum" else [])  # float32


def _by_hand(layer, x, h):
    """The paper's equations, on drives that the rule has gone over."""
    drive = x @ layer.weight_ih_l0.T
    if layer.bias:
        drive = drive + layer.bias_ih_l0
    if layer.momentum is not None:
        drive, _ = layer.momentum.scan(drive, None, None)
    out = []
    for y in drive:
        z, candidate = torch.sigmoid(y[:, :H]), y[:, H:]
        h = (1 - z) * h + z * candidate
        out.append(h)
    return torch.stack(out)


@pytest.mark.filterwarnings("ignore:.* has no momentum with it")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_its_equations(rule, bias, dtype, tolerance):
    torch.manual_seed(0)
    layer = tnn.MinGRU(N, H, bias=bias, dtype=dtype, momentum=copy.deepcopy(RULES[rule]))
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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_and_packed_input_end_each_sequence(bidirectional):
    layer = tnn.MinGRU(N, H, 2, bidirectional=bidirectional, momentum=tnn.Momentum(0.6, 0.9))
    x, lengths = torch.randn(T, B, N), torch.tensor([2, 7, 4])
    out, h = layer(x, lengths=lengths)
    packed, same = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    torch.testing.assert_close(pad_packed_sequence(packed)[0], out)
    torch.testing.assert_close(same, h)
    for i, length in enumerate(lengths.tolist()):
        alone, last = layer(x[:length, i])
        torch.testing.assert_close(out[:length, i], alone)
        torch.testing.assert_close(h[:, i], last)
    assert not out[2:, 0].any()


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


@pytest.mark.parametrize("rule", ["none", "momentum", "adam"])
def test_captured_and_saved(rule):
    layer = tnn.MinGRU(N, H, momentum=RULES[rule])
    x = torch.randn(T, B, N)
    expected = layer(x)[0]
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x)[0], expected)
    torch.testing.assert_close(compiled(x[:5])[0], expected[:5])
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(x)[0], expected)
    exported = torch.export.export(
        layer, (x,), dynamic_shapes=({0: torch.export.Dim("T")}, None)[:1]
    )
    torch.testing.assert_close(exported.module()(x[:4])[0], expected[:4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": tnn.Momentum(space="hidden")}, "Momentum in hidden space"),
        ({"momentum": tnn.NesterovLookahead()}, "NesterovLookahead in hidden space"),
    ],
    ids=["hidden", "lookahead"],
)
def test_what_needs_recurrent_weights_is_rejected(options, message):
    with pytest.raises(ValueError, match=f"MINGRU has no recurrent weights, and no .*{message}"):
        tnn.MinGRU(N, H, **options)


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
