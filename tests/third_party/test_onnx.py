"""Exported to ONNX, a layer computes the same in onnxruntime, for any batch and any time."""

import logging

import pytest
import torch

import torchmomentum.nn as tnn
from tests.nn.test_onnx import RULES, exported

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("default")  # the exporter has warnings of its own
logging.getLogger("torch.onnx").setLevel(logging.ERROR)


def _numbers(tensors):
    return [t.detach().numpy() for t in tensors]


def _run(program, path, *inputs):
    program.save(path)
    session = onnxruntime.InferenceSession(path)
    names = [given.name for given in session.get_inputs()]
    return session.run(None, dict(zip(names, _numbers(inputs), strict=True)))


LAYERS = [(cell, rule) for cell in ("lstm", "gru", "rnn") for rule in RULES]
LAYERS += [(cell, rule) for cell in ("mingru", "lru", "orthogonal") for rule in ("none", "adam")]


@pytest.mark.parametrize(("cell", "rule"), LAYERS)
def test_a_layer(cell, rule, tmp_path):
    torch.manual_seed(0)
    layer, program = exported(cell, rule, torch.onnx.export, 2)
    for time, batch in ((9, 4), (1, 1), (20, 3)):
        x = torch.randn(time, batch, 3)
        out, state = layer(x)
        states = state if isinstance(state, tuple) else (state,)
        found = _run(program, str(tmp_path / "layer.onnx"), x)
        for value, expected in zip(found, _numbers([out, *states]), strict=True):
            assert value.shape == expected.shape
            assert abs(value - expected).max() < 1e-4


def test_states_and_momentum_are_inputs(tmp_path):
    layer = tnn.MomentumLSTM(3, 4, mu=0.6).eval()
    x, state = torch.randn(5, 2, 3), layer.initial_state(2)
    program = torch.onnx.export(layer, (x, state), dynamo=True, verbose=False)
    _, after = layer(torch.randn(7, 2, 3), state)
    h, c, ((velocity,),) = after
    expected, _ = layer(x, after)
    found = _run(program, str(tmp_path / "stream.onnx"), x, h, c, velocity)
    assert abs(found[0] - expected.detach().numpy()).max() < 1e-5


def test_a_converted_model(tmp_path):
    model = tnn.momentumize(torch.nn.LSTM(3, 4, bidirectional=True), tnn.Momentum(0.6, 0.6)).eval()
    x = torch.randn(5, 2, 3)
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    found = _run(program, str(tmp_path / "model.onnx"), x)
    assert abs(found[0] - model(x)[0].detach().numpy()).max() < 1e-5
