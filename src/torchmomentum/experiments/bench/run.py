"""Runs one kind of benchmark and writes what it found: rows, provenance, a plot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from torchmomentum.experiments.bench.layers import SHAPES, Shape, measure_memory, time_layers
from torchmomentum.experiments.bench.optimizers import SETS, time_optimizers
from torchmomentum.experiments.bench.report import TABLES, plot
from torchmomentum.experiments.bench.streaming import SIZES, time_streaming
from torchmomentum.experiments.files import write_json
from torchmomentum.experiments.provenance import provenance

WHAT = {
    "layers": "training step, float32",
    "optim": "optimizer step, float32",
    "memory": "peak memory of a training step, float32",
    "streaming": "one step of one sequence, float32, inference",
}


def _row(kind: str, item: Any, seconds: float, device: str) -> dict[str, Any]:
    measure: dict[str, Callable[..., dict[str, Any]]] = {
        "layers": time_layers,
        "optim": time_optimizers,
        "memory": measure_memory,
        "streaming": time_streaming,
    }
    return measure[kind](item, seconds=seconds, device=device)


def run(
    kind: str,
    *,
    seconds: float,
    device: str,
    out: Path,
    shapes: Sequence[Shape] | None = None,
) -> dict[str, Any]:
    """Measures, prints the table as it grows, and writes ``<kind>.json`` and plots to ``out``.

    Args:
        kind: A key of :data:`WHAT`.
        seconds: For each comparison, about.
        device: ``cpu`` or ``cuda``.
        out: The folder to write to.
        shapes: T, B, I, H of ``layers`` and ``memory``; by default the papers'.
    """
    items: dict[str, Sequence[Any]] = {
        "layers": shapes or SHAPES,
        "memory": shapes or SHAPES,
        "optim": list(SETS),
        "streaming": SIZES,
    }
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {"what": WHAT[kind], "kind": kind, "device": device, "rows": rows}
    for number, item in enumerate(items[kind]):
        rows.append(_row(kind, item, seconds, device))
        lines = TABLES[kind](results)
        print("\n".join(lines if number == 0 else lines[-1:]), flush=True)
    results["provenance"] = provenance(["torchmomentum", *sys.argv[1:]])
    write_json(out / f"{kind}.json", results)
    plot(results, partial(Path.joinpath, out))
    return results
