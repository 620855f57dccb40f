"""The benchmarks as studies: sizes vary, and a run measures several things side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchmomentum.experiments.bench.shapes import (
    CHECKED,
    CHOSEN,
    LONG,
    PMNIST,
    SCANNED_SHAPES,
    SHAPES,
    SIZES,
    SMALL_SHAPES,
    TENSOR_SETS,
    UNITS,
)
from torchmomentum.experiments.study import Study

_HERE = "torchmomentum.experiments.bench.recipe"


def _benchmark(
    name: str,
    title: str,
    items: Sequence[Any],
    *,
    table: str | None = None,
    measure: str | None = None,
    figure: str | None = "ratios",
    device: str = "cpu",
    item: str = "T, B, I, H",
    **view: Any,
) -> Study:
    return Study(
        name=name,
        title=title,
        recipe=f"{_HERE}:timing_recipe",
        shown=f"{_HERE}:shown",
        axes={"item": tuple(items)},
        settings={"benchmark": measure or name, "seconds": 15.0, "device": device},
        metric="ratio to the first",
        table=f"timing-{table or name}",
        figure=figure,
        view={"item": item, **view},
    )


_TYPES = ("float32", "bfloat16", "float16")
_TYPED = tuple((*shape, kind) for shape in (*SHAPES, LONG) for kind in _TYPES)
LAYERS = _benchmark("layers", "training step, float32", SHAPES)
LAYERS_BFLOAT16 = _benchmark("layers-bfloat16", "training step, bfloat16", SHAPES, table="layers")
PROFILE = _benchmark(
    "profile", "milliseconds of a training step's parts, float32", SHAPES, figure=None
)
OPTIM = _benchmark("optim", "optimizer step, float32", TENSOR_SETS, item="tensors")
OPTIM_COMPILED = _benchmark(
    "optim-compiled",
    "optimizer step under torch.compile, float32",
    TENSOR_SETS[:1],
    table="each",
    figure=None,
    item="tensors",
)
SCANNED = _benchmark(
    "scanned",
    "training step without recurrent weights, float32",
    SCANNED_SHAPES,
    table="each",
    figure=None,
)
NORMALIZED = _benchmark(
    "normalized",
    "training step with layer normalization, float32",
    SHAPES,
    table="each",
    figure=None,
)
SMALL = _benchmark(
    "small",
    "training step and evaluation of small layers, float32",
    SMALL_SHAPES,
    table="each",
    figure=None,
)
MEMORY = _benchmark("memory", "peak memory of a training step, float32", SHAPES)
STREAMING = _benchmark(
    "streaming", "one step of one sequence, float32, inference", SIZES, item="I, H"
)
PAPERS = _benchmark(
    "papers", "Tables 14 and 15 of the MomentumRNN paper", [PMNIST], ratio="training time"
)
ORTHOGONAL = _benchmark(
    "orthogonal",
    "training step of the orthogonal network, T = 784, B = 128, I = 1, float32",
    UNITS,
    table="each",
    figure=None,
    item="H",
)
ORTHOGONAL_MAPS = _benchmark(
    "orthogonal-maps",
    "an orthogonal matrix of a skew-symmetric one, and its gradient, float32",
    UNITS,
    table="each",
    figure=None,
    item="H",
)
BACKENDS = _benchmark(
    "backends",
    "time of our CPU kernels over that of PyTorch's",
    tuple((cell, *shape) for cell in CHECKED[:3] for shape in CHOSEN),
    figure=None,
    item="cell, T, B, I, H",
)
GPU_BACKENDS = _benchmark(
    "gpu-backends",
    "time of our GPU kernels over that of PyTorch's",
    tuple((cell, *shape) for cell in CHECKED[:3] for shape in SHAPES),
    table="backends",
    figure=None,
    device="cuda",
    item="cell, T, B, I, H",
)
GPU_CORRECTNESS = _benchmark(
    "gpu-correctness",
    "kernels beside the definition in float64",
    CHECKED,
    figure=None,
    device="cuda",
    item="cell",
)
GPU_LAYERS = _benchmark(
    "gpu-layers", "training step on a GPU", _TYPED, table="each", device="cuda", figure=None
)
GPU_PLANS = _benchmark(
    "gpu-plans",
    "cuts into programs",
    tuple((*shape, kind) for shape in SHAPES[1:4:2] for kind in _TYPES[:2]),
    table="each",
    device="cuda",
    figure=None,
)
GPU_ENSEMBLES = _benchmark(
    "gpu-ensembles", "members in one launch", SHAPES[:1], table="each", device="cuda", figure=None
)
GPU_PAPERS = _benchmark(
    "gpu-papers",
    "Tables 14 and 15 of the MomentumRNN paper",
    [PMNIST],
    measure="papers",
    table="papers",
    device="cuda",
    ratio="training time",
)
GPU = ("gpu-correctness", "gpu-layers", "gpu-backends", "gpu-plans", "gpu-ensembles", "gpu-papers")
