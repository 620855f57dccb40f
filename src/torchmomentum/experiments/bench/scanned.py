"""Cells without recurrent weights beside ``torch.nn.GRU``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.layers import train_step
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "nn.GRU": nn.GRU,
    "MinGRU": tnn.MinGRU,
    "MinGRU, Momentum": partial(tnn.MinGRU, momentum=tnn.Momentum(0.6, 0.9)),
    "MinGRU, RMSProp": partial(tnn.MinGRU, momentum=tnn.RMSProp()),
}


def time_scanned(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: a training step of each layer at one shape."""
    time, batch, inputs, hidden = shape
    x = torch.randn(time, batch, inputs, device=device)
    steps = {
        name: partial(train_step, make(inputs, hidden).to(device), x)
        for name, make in LAYERS.items()
    }
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}
