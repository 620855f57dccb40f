"""A training step of each layer beside ``torch.nn.LSTM``, at the shapes of the papers' tasks.

python benchmarks/layers.py [--threads N] [--seconds S] [--out FILE]
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timing import arguments, interleave, record
from torch import nn

import torchmomentum.nn as tnn

SHAPES = [  # T, B, I, H
    (784, 128, 1, 128),
    (784, 128, 1, 256),
    (200, 32, 129, 158),
    (100, 16, 32, 64),
    (70, 20, 400, 400),
    (35, 20, 400, 1150),
]
LINEAR = {
    "LSTM": tnn.LSTM,
    "MomentumLSTM": partial(tnn.MomentumLSTM, mu=0.6, step_size=0.6),
    "SRLSTM": partial(tnn.SRLSTM, step_size=0.9, restart=40),
}
ADAPTIVE = {  # apart: they allocate several times as much, which slows whatever comes next
    "RMSPropLSTM": partial(tnn.RMSPropLSTM, step_size=0.6, beta=0.9),
    "AdamLSTM": partial(tnn.AdamLSTM, mu=0.6, step_size=0.6, beta=0.9),
}


def _step(layer: nn.Module, x: torch.Tensor) -> None:
    layer(x)[0][-1].sum().backward()
    layer.zero_grad()


def main() -> None:
    options = arguments(__doc__, 20.0, "layers.json")
    rows = []
    for time, batch, inputs, hidden in SHAPES:
        x = torch.randn(time, batch, inputs)
        found: dict[str, Any] = {}
        for layers in (LINEAR, ADAPTIVE):
            made = {"nn.LSTM": nn.LSTM, **layers}
            steps = {name: partial(_step, make(inputs, hidden), x) for name, make in made.items()}
            found = interleave(steps, seconds=options.seconds) | found
        found = {name: found[name] for name in ("nn.LSTM", *LINEAR, *ADAPTIVE)}
        rows.append({"shape": [time, batch, inputs, hidden], "layers": found})
        shown = ", ".join(f"{name} {value['ratio']:.2f}" for name, value in found.items())
        print(f"T={time} B={batch} I={inputs} H={hidden}: {shown}", flush=True)
    record(options.out, "training step, float32", rows)


if __name__ == "__main__":
    main()
