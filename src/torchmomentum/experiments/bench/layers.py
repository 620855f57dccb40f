"""A training step of each layer beside ``torch.nn.LSTM``, at the shapes of the papers' tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.peers import installed_peers
from torchmomentum.experiments.bench.roofline import ceilings, lstm_training_cost
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.experiments.engine.place import Tell, silent

LINEAR: dict[str, Callable[..., nn.Module]] = {
    "LSTM": tnn.LSTM,
    "MomentumLSTM": partial(tnn.MomentumLSTM, mu=0.6, step_size=0.6),
    "SRLSTM": partial(tnn.SRLSTM, step_size=0.9, restart=40),
}
ADAPTIVE: dict[str, Callable[..., nn.Module]] = {  # apart: they may leave more memory behind
    "RMSPropLSTM": partial(tnn.RMSPropLSTM, step_size=0.6, beta=0.9),
    "AdamLSTM": partial(tnn.AdamLSTM, mu=0.6, step_size=0.6, beta=0.9),
    "LookaheadSRLSTM": partial(tnn.LookaheadSRLSTM, step_size=0.9, restart=40),
}


NORMALIZED: dict[str, Callable[..., nn.Module]] = {
    "LSTM, layer norm": partial(tnn.LSTM, layer_norm=True),
    "MomentumLSTM, layer norm": partial(tnn.MomentumLSTM, layer_norm=True),
}


def train_step(layer: nn.Module, x: Tensor) -> None:
    """Forward and backward from the last output, gradients thrown away."""
    layer(x)[0][-1].sum().backward()
    layer.zero_grad()


def training_steps(
    layers: dict[str, Callable[..., nn.Module]],
    shape: Shape,
    device: str,
    dtype: torch.dtype = torch.float32,
    baseline: type[nn.RNNBase] = nn.LSTM,
) -> dict[str, partial[None]]:
    """A training step of each layer on the same input, beside that of PyTorch's."""
    time, batch, inputs, hidden = shape
    x = torch.randn(time, batch, inputs, device=device, dtype=dtype)
    made: dict[str, Callable[..., nn.Module]]
    made = {f"nn.{baseline.__name__}": baseline, **layers}
    return {
        name: partial(train_step, make(inputs, hidden, device=device, dtype=dtype), x)
        for name, make in made.items()
    }


def time_layers(
    shape: Shape,
    *,
    seconds: float,
    device: str,
    dtype: torch.dtype = torch.float32,
    tell: Tell = silent,
) -> dict[str, Any]:
    """One row: the layers at one shape, with the step's cost and the machine's ceilings."""
    found: dict[str, Any] = {}
    peers = installed_peers(device)
    for group in (LINEAR, ADAPTIVE, peers):
        if group:
            steps = training_steps(group, shape, device, dtype)
            found = interleave(steps, seconds=seconds, device=device, tell=tell) | found
    found = {name: found[name] for name in ("nn.LSTM", *LINEAR, *ADAPTIVE, *peers)}
    cost, most = lstm_training_cost(shape, dtype), ceilings(device, dtype)
    return {"cost": cost, "ceilings": most, "layers": found}


def time_normalized(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: layers that normalize beside one that does not, at one shape."""
    steps = training_steps(NORMALIZED, shape, device)
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}


def time_small(shape: Shape, *, seconds: float, device: str, tell: Tell = silent) -> dict[str, Any]:
    """One row: training and evaluation at a shape where what surrounds the arithmetic counts."""
    steps = training_steps({n: LINEAR[n] for n in ("LSTM", "MomentumLSTM")}, shape, device)
    found = interleave(steps, seconds=seconds / 2, device=device, tell=tell)
    evaluated: dict[str, Callable[[], None]] = {
        f"{name}, evaluation": partial(_evaluate, *step.args) for name, step in steps.items()
    }
    return {"layers": found | interleave(evaluated, seconds=seconds / 2, device=device, tell=tell)}


def _evaluate(layer: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        layer(x)


def measure_memory(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: the most memory that a training step holds, weights and input aside."""
    found: dict[str, Any] = {}
    for name, step in training_steps(LINEAR | ADAPTIVE, shape, device).items():
        step()  # first calls build caches
        found[name] = {"peak_bytes": peak_memory(step, device)}
    for value in found.values():
        value["ratio"] = value["peak_bytes"] / found["nn.LSTM"]["peak_bytes"]
    return {"layers": found}
