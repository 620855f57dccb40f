"""What an export to ONNX captures: operators of PyTorch's alone, one loop for each recurrence.

``tests/third_party/test_onnx.py`` runs it in onnxruntime.
"""

import pytest
import torch

import torchmomentum.nn as tnn

RULES = {
    "none": lambda: None,
    "momentum": lambda: tnn.Momentum(0.6, 0.5),
    "learned": lambda: tnn.Momentum(0.6, 0.5, learnable=True),
    "hidden": lambda: tnn.Momentum(0.6, 0.5, space="hidden"),
    "nesterov": lambda: tnn.Nesterov(1.0, restart=3),
    "lookahead": lambda: tnn.NesterovLookahead(1.0, restart=3),
    "adam": lambda: tnn.Adam(0.6, 1.0, 0.9),
    "learned adam": lambda: tnn.Adam(0.6, 1.0, 0.9, learnable=True),
    "rmsprop": lambda: tnn.RMSProp(1.0, 0.9),
    "gain": lambda: tnn.Gain(0.5),
}
# a learned number or a gain changes no loop
LOOPS = ("none", "momentum", "hidden", "nesterov", "lookahead", "adam", "rmsprop")
CELLS = {
    "lstm": tnn.LSTM,
    "gru": tnn.GRU,
    "rnn": tnn.RNN,
    "mingru": tnn.MinGRU,
    "lru": tnn.LRU,
    "orthogonal": tnn.OrthogonalRNN,
}


def exported(cell, rule, export, layers=1):
    """A layer, and its program for any time and batch."""
    if cell in ("mingru", "lru") and rule in ("hidden", "lookahead"):
        pytest.skip("it needs recurrent weights")
    layer = CELLS[cell](3, 4, layers, momentum=RULES[rule]()).eval()
    dims = {0: torch.export.Dim("time"), 1: torch.export.Dim("batch")}
    options = {"dynamo": True, "verbose": False} if export is torch.onnx.export else {}
    return layer, export(layer, (torch.randn(5, 2, 3),), dynamic_shapes=(dims,), **options)


# the compiler's own, of each input of a loop
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor", "ignore:.torch.jit")
@pytest.mark.parametrize(
    ("cell", "rule"),
    [*[("lstm", rule) for rule in LOOPS], ("mingru", "adam"), ("orthogonal", "momentum")],
)
def test_the_program_has_loops_and_none_of_our_operators(cell, rule, monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    layers = 2 if rule == "momentum" else 1  # loops that read loops, once
    layer, program = exported(cell, rule, torch.export.export, layers)
    targets = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert not [name for name in targets if "torchmomentum" in name or "matrix_exp" in name]
    filtered = rule not in ("none", "lookahead")
    assert targets.count("scan") == layers * (1 + filtered)
    monkeypatch.undo()
    x = torch.randn(8, 3, 3)
    torch.testing.assert_close(program.module()(x)[0], layer(x)[0], rtol=1e-4, atol=1e-5)


def test_a_captured_graph_has_our_operators_otherwise():
    _, program = exported("lstm", "momentum", torch.export.export)
    assert "torchmomentum" in str(program.graph)
    assert "scan_combine" not in str(program.graph)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor", "ignore:.torch.jit")
def test_one_export_does_not_change_the_next(monkeypatch):
    """Sizes that are fixed in one and vary in another; two loops of other sizes in each."""
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    x, time, batch = torch.randn(5, 2, 3), torch.export.Dim("time"), torch.export.Dim("batch")
    for dims in (None, ({1: batch},), ({0: time},), ({0: time, 1: batch},)):
        layer = tnn.LSTM(3, 4, momentum=tnn.Nesterov(1.0, restart=3)).eval()
        program = torch.export.export(layer, (x,), dynamic_shapes=dims)
        varying = dims[0] if dims else {}
        other = torch.randn(9 if 0 in varying else 5, 3 if 1 in varying else 2, 3)
        torch.testing.assert_close(program.module()(other)[0], layer(other)[0])
