"""Tables 14 and 15 of the MomentumRNN paper: time and memory, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.layers import train_step
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.experiments.published.momentumrnn import NAMES, TABLE_14, TABLE_15

MODELS: dict[str, Callable[..., nn.Module]] = {
    "nn.LSTM": nn.LSTM,
    "LSTM": tnn.LSTM,
    "MomentumLSTM": partial(tnn.MomentumLSTM, mu=0.6, step_size=1.0),
    "AdamLSTM": partial(tnn.AdamLSTM, mu=0.6, step_size=1.0, beta=0.01),
    "RMSPropLSTM": partial(tnn.RMSPropLSTM, step_size=1.0, beta=0.01),
    "LookaheadSRLSTM": partial(tnn.LookaheadSRLSTM, step_size=0.9, restart=40),
}
COLUMNS = ("training time", "evaluation time", "training memory", "evaluation memory")


def _published(name: str) -> tuple[float, ...]:
    """What the paper measured, as ratios to its LSTM, column by column."""
    ours, baseline = ((*TABLE_14[x], *TABLE_15[x]) for x in (name, "LSTM"))
    return tuple(x / y for x, y in zip(ours, baseline, strict=True))


PUBLISHED = {name: _published(NAMES.get(name, name)) for name in MODELS}


def _evaluate(layer: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        layer(x)


def measure_papers(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: all four quantities of each model, and their ratios to ``nn.LSTM``."""
    time, batch, inputs, hidden = shape
    x = torch.randn(time, batch, inputs, device=device)
    layers = {name: make(inputs, hidden, device=device) for name, make in MODELS.items()}
    found: dict[str, dict[str, Any]] = {name: {} for name in layers}
    for phase, run in (("training", train_step), ("evaluation", _evaluate)):
        steps = {name: partial(run, layer, x) for name, layer in layers.items()}
        times = interleave(steps, seconds=seconds, device=device, tell=tell)
        peaks = {name: peak_memory(step, device) for name, step in steps.items()}
        for name, values in times.items():
            found[name][f"{phase} time"] = {
                "us_per_sample": 1e3 * values["median_ms"] / batch,
                "ratio": values["ratio"],
                "ratio_quartiles": values["ratio_quartiles"],
            }
            found[name][f"{phase} memory"] = {
                "mb_per_sample": peaks[name] / 1e6 / batch,
                "ratio": peaks[name] / peaks["nn.LSTM"],
            }
    for name, ratios in PUBLISHED.items():
        found[name]["published"] = dict(zip(COLUMNS, ratios, strict=True))
    return {"layers": found}
