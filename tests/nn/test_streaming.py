"""A stream without gradients, step by step through layers: the kernel of one step."""

from functools import partial

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.nn import _compute
from torchmomentum.ops import _run, available, timed

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")
RULES = {
    "none": lambda: None,
    "momentum": lambda: tnn.Momentum(0.6, 0.9),
    "hidden momentum": lambda: tnn.Momentum(0.6, 0.9, space="hidden"),
    "learned": lambda: tnn.Momentum(0.6, 0.9, learnable=True),
    "restarted": lambda: tnn.Nesterov(0.9, restart=3),
    "adam": lambda: tnn.Adam(0.6, 0.9),
    "rmsprop": lambda: tnn.RMSProp(0.9),
}
LAYERS = {
    "lstm": tnn.LSTM,
    "gru": tnn.GRU,
    "rnn": tnn.RNN,
    "relu": partial(tnn.RNN, nonlinearity="relu"),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_equals_the_sequence(name, rule, bias):
    layer = LAYERS[name](3, 5, num_layers=2, bias=bias, momentum=RULES[rule]())
    x = torch.randn(7, 2, 3)
    whole, end = layer(x, layer.initial_state(2))
    with torch.no_grad(), timed() as seconds:
        state, outputs = layer.initial_state(2), []
        for step in x.split(1):
            out, state = layer(step, state)
            outputs.append(out)
    assert "cell_step" in seconds
    torch.testing.assert_close(torch.cat(outputs), whole.detach(), rtol=1e-4, atol=1e-5)
    for a, b in zip(state, end, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)


def test_an_output_is_not_the_states_memory():
    layer = tnn.LSTM(3, 5, momentum=tnn.Adam())
    with torch.no_grad():
        out, (h, *_) = layer(torch.randn(1, 2, 3), layer.initial_state(2))
    before = h.clone()
    out.zero_()
    assert torch.equal(h, before)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({}, {"lengths": torch.tensor([1, 1])}),
        ({"zoneout": 0.5}, {}),
        ({"layer_norm": True}, {}),
        ({"proj_size": 2}, {}),
        ({"dtype": torch.float64}, {}),
    ],
    ids=["lengths", "zoneout", "layer norm", "projection", "float64"],
)
def test_what_the_kernel_of_one_step_has_not_is_computed_as_ever(options, given, monkeypatch):
    def fail(*_):
        raise AssertionError

    layer = tnn.LSTM(3, 5, momentum=tnn.Adam(), **options)
    x = torch.randn(1, 2, 3, dtype=options.get("dtype", torch.float32))
    expected = layer.eval()(x, **given)[0]
    monkeypatch.setattr(_run, "step", fail)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, **given)[0], expected.detach())


def test_many_rows_are_a_layers():
    layer, x = tnn.LSTM(3, 64), torch.randn(1, 2**16 // 256 + 1, 3)
    with torch.no_grad():
        for rows, kernel in ((x[:, 1:], "cell_step"), (x, "lstm_forward")):
            with timed() as seconds:
                layer(rows)
            assert kernel in seconds


@pytest.mark.parametrize("rule", ["momentum", "learned", "adam", "rmsprop"])
def test_the_drive_and_the_rule_are_in_the_kernel(rule, monkeypatch):
    cell, x = tnn.LSTMCell(3, 5, momentum=RULES[rule]()), torch.randn(2, 3)
    expected = cell(x)[0].detach()
    monkeypatch.setattr(_compute, "linear", None)
    monkeypatch.setattr(_compute, "_rule_step", None)
    with torch.no_grad():
        torch.testing.assert_close(cell(x)[0], expected)


def test_a_rule_that_changes_a_step_is_not_the_kernels():
    class Halved(tnn.Momentum):
        def step(self, drive, state):
            return super().step(drive / 2, state)

    cell, x = tnn.LSTMCell(3, 5, momentum=Halved(0.6, 0.9)), torch.randn(2, 3)
    expected = cell(x)[0].detach()
    with torch.no_grad():
        torch.testing.assert_close(cell(x)[0], expected)


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_a_weight_that_was_replaced_by_one_of_another_shape_is_named(name):
    cell, layer = tnn.LSTMCell(3, 5, momentum=tnn.Momentum()), tnn.LSTM(3, 5)
    for module, own in ((cell, name), (layer, f"{name}_l0")):
        setattr(module, own, torch.nn.Parameter(getattr(module, own).detach()[:4].clone()))
    with torch.no_grad():
        with pytest.raises(ValueError, match=f"{name} must have shape"):
            cell(torch.randn(2, 3))
        with pytest.raises(ValueError, match=f"{name} must have shape"):
            layer(torch.randn(1, 2, 3))
