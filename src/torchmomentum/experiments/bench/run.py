"""Runs one kind of benchmark and writes what it found: rows, provenance, a plot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

from torchmomentum.experiments.bench.gpu import measure_gpu
from torchmomentum.experiments.bench.layers import SHAPES, Shape, measure_memory, time_layers
from torchmomentum.experiments.bench.optimizers import SETS, time_optimizers
from torchmomentum.experiments.bench.papers import PMNIST, measure_papers
from torchmomentum.experiments.bench.profile import profile_layers
from torchmomentum.experiments.bench.report import TABLES, plot
from torchmomentum.experiments.bench.streaming import SIZES, time_streaming
from torchmomentum.experiments.files import write_json
from torchmomentum.experiments.provenance import provenance


class Kind(NamedTuple):
    """A kind of benchmark.

    Attributes:
        what: It measures.
        items: On what, a row for each.
        measure: Makes a row.
        apart: Each row in a process of its own, where what one leaves in memory slows the next.
    """

    what: str
    items: Sequence[Any]
    measure: Callable[..., dict[str, Any]]
    apart: bool = False


KINDS = {
    "layers": Kind("training step, float32", SHAPES, time_layers),
    "layers-bfloat16": Kind(
        "training step, bfloat16", SHAPES, partial(time_layers, dtype=torch.bfloat16)
    ),
    "profile": Kind("milliseconds of a training step's parts, float32", SHAPES, profile_layers),
    "optim": Kind("optimizer step, float32", list(SETS), time_optimizers, apart=True),
    "memory": Kind("peak memory of a training step, float32", SHAPES, measure_memory),
    "streaming": Kind("one step of one sequence, float32, inference", SIZES, time_streaming),
    "papers": Kind("Tables 14 and 15 of the MomentumRNN paper", [PMNIST], measure_papers),
}


def _apart(measure: Callable[..., dict[str, Any]], *args: Any, **options: Any) -> dict[str, Any]:
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        return pool.submit(measure, *args, **options).result()


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
        kind: A key of :data:`KINDS`.
        seconds: For each comparison, about.
        device: ``cpu`` or ``cuda``.
        out: The folder to write to.
        shapes: T, B, I, H of ``layers`` and ``memory``; by default the papers'.
    """
    torch.manual_seed(0)
    what, items, measure, apart = KINDS[kind]
    if apart:
        measure = partial(_apart, measure)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {"what": what, "kind": kind, "device": device, "rows": rows}
    for number, item in enumerate(shapes if shapes and items is SHAPES else items):
        rows.append(measure(item, seconds=seconds, device=device))
        lines = TABLES[kind](results)
        print("\n".join(lines if number == 0 else lines[-1:]), flush=True)
    return _record(results, out)


def _record(results: dict[str, Any], out: Path) -> dict[str, Any]:
    results["provenance"] = provenance(["torchmomentum", *sys.argv[1:]])
    write_json(out / f"{results['kind']}.json", results)
    plot(results, out)
    return results


def run_gpu(*, seconds: float, device: str, out: Path) -> None:
    """Measures all of :mod:`~.gpu`, each part written as soon as it is there."""
    torch.manual_seed(0)

    def write(name: str, results: dict[str, Any]) -> None:
        told = provenance(["torchmomentum", *sys.argv[1:]])
        write_json(out / f"{name}.json", {**results, "device": device, "provenance": told})
        print(f"{name}: {len(results['rows'])} rows", flush=True)

    measure_gpu(write, seconds=seconds, device=device)


def run_accuracy(row: dict[str, Any], *, device: str, out: Path) -> dict[str, Any]:
    """Prints and writes what :func:`~.accuracy.time_to_accuracy` found."""
    what = (
        f"training until {row['metric']} {row['target']:.4f} on validation samples of {row['task']}"
    )
    results = {"what": what, "kind": "time-to-accuracy", "device": device, "rows": [row]}
    print("\n".join(TABLES["time-to-accuracy"](results)))
    return _record(results, out)
