"""Where the time of a training step goes: the compiled kernels, and all that is around them."""

from __future__ import annotations

import statistics
import time
from typing import Any

from torchmomentum.experiments.bench.layers import ADAPTIVE, LINEAR, training_steps
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.ops import timed

PARTS = {  # of kernels by the beginnings of their names; what remains is "around"
    "layers": ("layer_", "cell_step"),  # small ones, in one call
    "products": ("matrix_product", "recurrent_sums", "input_sums"),
    "recurrence": ("lstm_", "gru_", "rnn_", "pack"),
    "rule": ("adam_", "filter", "complex_filter"),
}


def _part(kernel: str) -> str:
    return next(part for part, begins in PARTS.items() if kernel.startswith(begins))


def profile_layers(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: for each layer the median milliseconds of a step and of its parts."""
    steps = training_steps(LINEAR | ADAPTIVE, shape, device)
    del steps["nn.LSTM"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # first calls build caches
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(found[next(iter(found))]) < 3:
        for name, step in steps.items():
            parts = dict.fromkeys(PARTS, 0.0)
            with timed() as kernels:
                start = time.perf_counter()
                step()
                whole = time.perf_counter() - start
            for kernel, spent in kernels.items():
                parts[_part(kernel)] += spent
            found[name].append({"step": whole, **parts, "around": whole - sum(parts.values())})
    layers = {
        name: {f"{part}_ms": 1e3 * statistics.median(row[part] for row in rows) for part in rows[0]}
        for name, rows in found.items()
    }
    return {"layers": layers}
