"""One step of one sequence, as in answering a live signal, beside ``torch.nn.LSTMCell``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent

_REPEATS = 50  # one step alone is too short to time


def _repeat(step: Callable[..., object], *arguments: Any) -> None:
    with torch.inference_mode():
        for _ in range(_REPEATS):
            step(*arguments)


def time_streaming(
    size: tuple[int, int], *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: a step of each cell, and of layers over a sequence of one."""
    inputs, hidden = size
    x = torch.randn(1, inputs, device=device)
    zero = torch.zeros(1, hidden, device=device)
    steps: dict[str, Callable[[], None]] = {
        "nn.LSTMCell": partial(_repeat, nn.LSTMCell(inputs, hidden, device=device), x, (zero, zero))
    }
    rules = {"Momentum": tnn.Momentum(0.6, 0.6), "Adam": tnn.Adam()}
    for name, rule in rules.items():
        cell = tnn.LSTMCell(inputs, hidden, device=device, momentum=rule)
        _, state, memory = cell(x)
        steps[f"LSTMCell, {name}"] = partial(_repeat, cell, x, state, memory)
    original = nn.LSTM(inputs, hidden, device=device)
    steps["nn.LSTM"] = partial(_repeat, original, x.unsqueeze(0), original(x.unsqueeze(0))[1])
    for name, rule in rules.items():
        layer = tnn.LSTM(inputs, hidden, device=device, momentum=rule)
        steps[f"LSTM, {name}"] = partial(_repeat, layer, x.unsqueeze(0), layer.initial_state(1))
    found = interleave(steps, seconds=seconds, device=device, tell=tell)
    for value in found.values():
        value["median_ms"] /= _REPEATS
    return {"layers": found}
