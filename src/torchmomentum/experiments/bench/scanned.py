"""Cells without recurrent weights beside ``torch.nn.GRU``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.layers import training_steps
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "MinGRU": tnn.MinGRU,
    "MinGRU, Momentum": partial(tnn.MinGRU, momentum=tnn.Momentum(0.6, 0.9)),
    "MinGRU, RMSProp": partial(tnn.MinGRU, momentum=tnn.RMSProp()),
    "LRU": tnn.LRU,
    "LRU, Momentum": partial(tnn.LRU, momentum=tnn.Momentum(0.6, 0.9)),
}


def time_scanned(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: a training step of each layer at one shape."""
    steps = training_steps(LAYERS, shape, device, baseline=nn.GRU)
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}
