"""Nested tensors of the layout torch.jagged: sequences of any length, without padding."""

import pytest
import torch

import torchmomentum.nn as tnn

LAYERS = {
    "two directions": lambda: tnn.MomentumLSTM(
        3, 4, 2, batch_first=True, bidirectional=True, mu=0.6
    ),
    "adam": lambda: tnn.GRU(3, 4, batch_first=True, momentum=tnn.Adam(0.6, 1.0, 0.9)),
    "lookahead": lambda: tnn.LookaheadSRLSTM(3, 4, batch_first=True, proj_size=2),
    "mingru": lambda: tnn.MinGRU(3, 4, batch_first=True, momentum=tnn.Nesterov()),
    "none": lambda: tnn.RNN(3, 4, batch_first=True),
}
layers = pytest.mark.parametrize("name", LAYERS)


def _sequences():
    return [torch.randn(time, 3, requires_grad=True) for time in (4, 1, 7)]


@layers
def test_each_sequence_is_computed_alone(name):
    layer, sequences = LAYERS[name](), _sequences()
    out, state = layer(torch.nested.as_nested_tensor(sequences, layout=torch.jagged))
    alone = [layer(x) for x in sequences]
    assert out.layout == torch.jagged
    for found, (expected, _) in zip(out.unbind(), alone, strict=True):
        torch.testing.assert_close(found, expected)
    ends = [end if isinstance(end, tuple) else (end,) for _, end in alone]
    state = state if isinstance(state, tuple) else (state,)
    for part, expected in zip(state, zip(*ends, strict=True), strict=True):
        torch.testing.assert_close(part.as_subclass(torch.Tensor), torch.stack(expected, 1))
    found = torch.autograd.grad(out.values().square().sum(), sequences)
    loss = sum(expected.square().sum() for expected, _ in alone)
    torch.testing.assert_close(found, torch.autograd.grad(loss, sequences))


def test_the_output_goes_with_the_input():
    layer = LAYERS["adam"]()
    nested = torch.nested.as_nested_tensor(_sequences(), layout=torch.jagged)
    out, _ = layer(nested)
    assert out.shape[1] == nested.shape[1]  # a name, that both have
    assert (torch.nn.Linear(4, 3)(out) + nested).values().shape == (12, 3)


def test_a_view_with_holes():
    layer, x = LAYERS["two directions"](), torch.randn(3, 7, 3)
    starts, lengths = torch.tensor([0, 2, 1]), torch.tensor([4, 1, 3])
    nested = torch.nested.narrow(x, 1, starts, lengths, layout=torch.jagged)
    out, _ = layer(nested)
    for found, row, start, length in zip(out.unbind(), x, starts, lengths, strict=True):
        torch.testing.assert_close(found, layer(row[start : start + length])[0])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own
def test_captured_in_a_graph():
    layer = LAYERS["two directions"]()
    nested = torch.nested.as_nested_tensor(_sequences(), layout=torch.jagged)
    compiled = torch.compile(layer, backend="eager", dynamic=True)
    torch.testing.assert_close(compiled(nested)[0].values(), layer(nested)[0].values())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of the old layout
@pytest.mark.parametrize(
    ("change", "layout", "options", "message"),
    [
        ({"batch_first": False}, torch.jagged, {}, "LSTM: nested input has its batch first: set"),
        ({}, torch.strided, {}, "must have the layout torch.jagged and three dimensions, got"),
        ({}, torch.jagged, {"lengths": [4, 1, 7]}, "nested input has its lengths in itself"),
    ],
)
def test_other_input_is_rejected(change, layout, options, message):
    layer = tnn.LSTM(3, 4, **{"batch_first": True, **change})
    nested = torch.nested.as_nested_tensor(_sequences(), layout=layout)
    with pytest.raises(ValueError, match=message):
        layer(nested, **options)


def test_ragged_features_and_no_sequences_are_rejected():
    layer = tnn.LSTM(3, 4, batch_first=True)
    square = [torch.randn(3, 3), torch.randn(3, 2)]
    nested = torch.nested.as_nested_tensor([x.T.contiguous() for x in square], layout=torch.jagged)
    with pytest.raises(ValueError, match=r"ragged in its second dimension, \(B, \*, I\)"):
        layer(nested.transpose(1, 2))
    offsets = torch.zeros(1, dtype=torch.int64)
    empty = torch.nested.nested_tensor_from_jagged(torch.zeros(0, 3), offsets)
    with pytest.raises(ValueError, match="at least one sequence"):
        layer(empty)


def test_wrong_features_are_named():
    nested = torch.nested.as_nested_tensor([torch.randn(4, 2)], layout=torch.jagged)
    with pytest.raises(RuntimeError, match="Expected 3, got 2"):
        LAYERS["none"]()(nested)
