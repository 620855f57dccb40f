"""Captured in one graph for all lengths, where torch.nn.LSTM cannot be."""

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import layers

CELLS = {**layers.CELLS, "normalized gru": layers.NORMALIZED["normalized gru"]}
RULES = layers.EACH_KIND
# rules and cells are two axes: each of one with one of the other
PAIRS = [*(("lstm", rule) for rule in RULES), ("gru", "momentum"), ("rnn", "adam")]
PAIRS += [("normalized gru", "released"), ("gru", "none")]
pairs = pytest.mark.parametrize(("cell", "rule"), PAIRS)


def _graphs(layer):
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module.forward

    torch._dynamo.reset()
    return torch.compile(layer, fullgraph=True, dynamic=True, backend=backend), graphs


@pytest.mark.filterwarnings("ignore:The tensor attribute")
def test_the_original_is_refused():
    compiled, _ = _graphs(nn.LSTM(3, 4))
    with pytest.raises(torch._dynamo.exc.Unsupported):
        compiled(torch.randn(5, 2, 3))
    time = torch.export.Dim("time", min=2, max=100)
    with pytest.raises((torch._dynamo.exc.UserError, ValueError)):  # ValueError in torch 2.8
        torch.export.export(nn.LSTM(3, 4), (torch.randn(5, 2, 3),), dynamic_shapes=({0: time},))


@pairs
def test_one_graph_for_all_lengths(cell, rule):
    layer = CELLS[cell](3, 4, 2, bidirectional=True, momentum=RULES[rule]())
    compiled, graphs = _graphs(layer)
    for time in (7, 9, 30):
        x = torch.randn(time, 2, 3)
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])
    assert len(graphs) == 1


@pairs
def test_gradients_through_aot(cell, rule):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]())
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for time in (5, 8):
        x = torch.randn(time, 2, 3, requires_grad=True)
        inputs = [x, *layer.parameters()]
        found = torch.autograd.grad(compiled(x)[0].square().sum(), inputs)
        expected = torch.autograd.grad(layer(x)[0].square().sum(), inputs)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
def test_inductor():
    """Lookahead joins drives with those before: Inductor of torch 2.13 wrote over what it read."""
    layer = nn.ModuleList(
        [tnn.LSTM(3, 4, momentum=RULES[rule]()) for rule in ("momentum", "released")]
    )

    def both(x):
        return torch.stack([each(x)[0] for each in layer])

    torch._dynamo.reset()
    compiled = torch.compile(both, fullgraph=True, dynamic=True)
    for time in (5, 8):
        x = torch.randn(time, 2, 3)
        found, expected = compiled(x), both(x)
        torch.testing.assert_close(found, expected)
        for a, b in zip(
            torch.autograd.grad(found.sum(), layer.parameters()),
            torch.autograd.grad(expected.sum(), layer.parameters()),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


@pairs
def test_export_with_dynamic_batch_and_time(cell, rule):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]())
    time, batch = torch.export.Dim("time"), torch.export.Dim("batch")  # of any size
    exported = torch.export.export(
        layer, (torch.randn(5, 4, 3),), dynamic_shapes=({0: time, 1: batch},)
    )
    x = torch.randn(11, 3, 3)
    torch.testing.assert_close(exported.module()(x)[0], layer(x)[0])


def test_lengths_are_exported_with_any_time():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = tnn.MomentumLSTM(3, 4, mu=0.6)

        def forward(self, x, lengths):
            return self.layer(x, lengths=lengths)

    model, time, batch = Padded(), torch.export.Dim("time"), torch.export.Dim("batch")
    given = torch.randn(5, 2, 3), torch.tensor([5, 3])
    program = torch.export.export(model, given, dynamic_shapes=({0: time, 1: batch}, {0: batch}))
    other = torch.randn(9, 3, 3), torch.tensor([2, 9, 4])
    torch.testing.assert_close(program.module()(*other)[0], model(*other)[0])


@pytest.mark.parametrize("rule", RULES)
def test_weights_elsewhere_are_named(rule):
    """A kernel would read memory that is not there."""
    layer = tnn.LSTM(3, 4, momentum=RULES[rule](), device="meta")
    with pytest.raises(RuntimeError, match="not at the same device"):
        layer(torch.randn(5, 2, 3))


def test_functional_call_and_gradients_of_functions():
    layer, x = tnn.MomentumLSTM(3, 4), torch.randn(5, 2, 3)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(values):
        return torch.func.functional_call(layer, values, (x,))[0].square().sum()

    found = torch.func.grad(loss)(parameters)
    layer(x)[0].square().sum().backward()
    for name, p in layer.named_parameters():
        torch.testing.assert_close(found[name], p.grad)


def test_checkpointing_and_inference():
    layer, x = tnn.AdamLSTM(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    out = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)[0]
    (found,) = torch.autograd.grad(out.sum(), x)
    (expected,) = torch.autograd.grad(layer(x)[0].sum(), x)
    torch.testing.assert_close(found, expected)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x)[0], out)


def test_export_of_what_trains_with_a_dynamic_length():
    time = torch.export.Dim("time")
    x = torch.randn(5, 4, 3, requires_grad=True)
    layer = tnn.AdamLSTM(3, 4)
    module = torch.export.export(layer, (x,), dynamic_shapes=({0: time},)).module()
    other = torch.randn(300, 4, 3)
    torch.testing.assert_close(module(other)[0], layer(other)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit")  # is deprecated
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of the checks of sizes
@pytest.mark.parametrize("hidden", [4, 160])  # of those PyTorch evaluates what ours trains
@pytest.mark.parametrize("rule", RULES)
def test_traced_with_gradients(rule, hidden):
    """jit.trace traces a second time, without gradients, and compares."""
    layer = tnn.LSTM(3, hidden, momentum=RULES[rule]())
    traced = torch.jit.trace(layer, (torch.randn(5, 2, 3),))
    x = torch.randn(9, 4, 3)
    found = torch.autograd.grad(traced(x)[0].square().sum(), list(layer.parameters()))
    expected = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
    torch.testing.assert_close(found, expected)
