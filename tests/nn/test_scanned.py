"""What all cells without recurrent weights keep, with every rule that they take."""

import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.testing import check_rnn
from torchmomentum.testing._contract import tensors

T, B, N, H = 7, 3, 4, 5
cells = pytest.mark.parametrize("cell", layers.SCANNED)


@pytest.mark.parametrize("rule", layers.SCANNED_RULES)
@cells
def test_keeps_the_contract(cell, rule):

    def make(*args, **options):
        return layers.SCANNED[cell](*args, momentum=layers.SCANNED_RULES[rule](), **options)

    check_rnn(make, skip=["gradients", "types"] if rule == "momentum" else [])  # float32


@pytest.mark.parametrize("bidirectional", [False, True])
@cells
def test_lengths_and_packed_input_end_each_sequence(cell, bidirectional):
    layer = layers.SCANNED[cell](
        N, H, 2, bidirectional=bidirectional, momentum=tnn.Momentum(0.6, 0.9)
    )
    x, lengths = torch.randn(T, B, N), torch.tensor([2, 7, 4])
    out, state = layer(x, lengths=lengths)
    packed, same = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    torch.testing.assert_close(pad_packed_sequence(packed)[0], out)
    torch.testing.assert_close(same, state)
    for i, length in enumerate(lengths.tolist()):
        alone, last = layer(x[:length, i])
        torch.testing.assert_close(out[:length, i], alone)
        for together, part in zip(tensors(state), tensors(last), strict=True):
            torch.testing.assert_close(together[:, i], part)
    assert not out[2:, 0].any()


@pytest.mark.parametrize("rule", ["none", "momentum", "adam"])
@cells
def test_captured_and_saved(cell, rule):
    torch._dynamo.reset()
    layer = layers.SCANNED[cell](N, H, momentum=layers.SCANNED_RULES[rule]())
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
@cells
def test_what_needs_recurrent_weights_is_rejected(cell, options, message):
    with pytest.raises(
        ValueError, match=f"{cell.upper()} has no recurrent weights, and no .*{message}"
    ):
        layers.SCANNED[cell](N, H, **options)
