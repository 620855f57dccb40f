"""Layers and optimizers on a GPU, beside the same on a CPU in float64."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import torchmomentum.nn as tnn
from tests.reference import layers
from torchmomentum.optim import NAG, SRSGD

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CELLS = {
    **layers.CELLS,
    **layers.NORMALIZED,
    "projected lstm": partial(tnn.LSTM, proj_size=8),
    "gru without bias": partial(tnn.GRU, bias=False),
}
SIZES = {"one tile": 24, "several that meet": 300}
# Adam divides by small roots: its own eps would ask for more digits than float32 has
RULES = {**layers.EACH_KIND, "adam": lambda: tnn.Adam(0.6, 0.9, 0.7, eps=1e-2)}
pairs = pytest.mark.parametrize(
    ("cell", "rule"), [(cell, rule) for cell in CELLS for rule in RULES]
)


def _close(found, expected, *, tolerance=2e-4):
    for a, b in zip(found, expected, strict=True):
        assert (a.cpu().double() - b).norm() <= tolerance * max(1.0, b.norm().item())


def _everything(layer, x, lengths):
    """Outputs, last states and gradients."""
    given = x
    if lengths is not None:
        given = pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, last = layer(given)
    out = out.data if lengths is not None else out
    last = last if isinstance(last, tuple) else (last,)
    loss = out.square().sum() + sum(part.square().sum() for part in last)
    return [out, *last, *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pairs
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_layers(cell, rule, packed, size):
    options = {"num_layers": 2, "bidirectional": True, "momentum": RULES[rule]()}
    layer = CELLS[cell](5, SIZES[size], **options, dtype=torch.float64)
    x = torch.randn(7, 9, 5, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 1, 3, 7, 2, 5, 4, 6, 1]) if packed else None
    expected = _everything(layer, x, lengths)
    there = copy.deepcopy(layer).to("cuda", torch.float32)
    found = _everything(there, x.detach().to("cuda", torch.float32).requires_grad_(), lengths)
    _close(found, expected)


@pairs
def test_streams(cell, rule):
    layer = CELLS[cell](5, 24, momentum=RULES[rule](), device="cuda")
    x = torch.randn(6, 3, 5, device="cuda")
    with torch.no_grad():
        whole, _ = layer(x)
        state = layer.initial_state(3)
        for t in range(6):
            out, state = layer(x[t : t + 1], state)
            torch.testing.assert_close(out[0], whole[t], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:TensorFloat32")  # Inductor's own
@pytest.mark.parametrize("rule", RULES)
def test_compiled(rule):
    layer = tnn.LSTM(5, 24, momentum=RULES[rule](), device="cuda")
    x = torch.randn(6, 3, 5, device="cuda", requires_grad=True)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True)
    found = torch.autograd.grad(compiled(x)[0].square().sum(), [x, *layer.parameters()])
    expected = torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])
    _close(found, [e.cpu().double() for e in expected])


@pytest.mark.parametrize("way", ["foreach", "fused"])
@pytest.mark.parametrize("make", [NAG, SRSGD])
def test_optimizers(make, way):
    drawn = [torch.randn(shape, dtype=torch.float64) for shape in ((7, 3), (300,), ())]
    gradients = [[torch.randn_like(p) for p in drawn] for _ in range(9)]
    found = []
    for device, dtype, how in (("cuda", torch.float32, {way: True}), ("cpu", torch.float64, {})):
        params = [torch.nn.Parameter(p.to(device, dtype)) for p in drawn]
        optimizer = make(params, lr=0.1, weight_decay=0.01, **how)
        for step in gradients:
            for p, g in zip(params, step, strict=True):
                p.grad = g.to(device, dtype)
            optimizer.step()
        found.append([p.detach() for p in params])
    _close(*found, tolerance=1e-5)
