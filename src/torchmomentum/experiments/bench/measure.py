"""Runs one measurement by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from torchmomentum.experiments.bench import gpu
from torchmomentum.experiments.bench.backends import time_backends
from torchmomentum.experiments.bench.layers import (
    measure_memory,
    time_layers,
    time_normalized,
    time_small,
)
from torchmomentum.experiments.bench.optimizers import time_compiled, time_optimizers
from torchmomentum.experiments.bench.orthogonal import time_maps, time_training
from torchmomentum.experiments.bench.papers import measure_papers
from torchmomentum.experiments.bench.profile import profile_layers
from torchmomentum.experiments.bench.recipe import Timing
from torchmomentum.experiments.bench.scanned import time_scanned
from torchmomentum.experiments.bench.streaming import time_streaming
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.result import Result

Measured = Mapping[str, Any]  # under "layers" what was measured of each thing, the rest beside it


class Measure(NamedTuple):
    """How a benchmark is measured.

    Attributes:
        run: ``run(item, seconds=, device=, tell=)``.
        apart: In a process of its own: what one item leaves in memory slows the next.
        needs: A device, where it makes sense on one only.
    """

    run: Callable[..., Measured]
    apart: bool = False
    needs: str | None = None


MEASURES: dict[str, Measure] = {
    "layers": Measure(time_layers),
    "layers-bfloat16": Measure(partial(time_layers, dtype=torch.bfloat16)),
    "profile": Measure(profile_layers, needs="cpu"),
    "optim": Measure(time_optimizers, apart=True),
    "memory": Measure(measure_memory),
    "streaming": Measure(time_streaming),
    "papers": Measure(measure_papers),
    "optim-compiled": Measure(time_compiled, apart=True),
    "scanned": Measure(time_scanned),
    "normalized": Measure(time_normalized),
    "small": Measure(time_small),
    "orthogonal": Measure(time_training),
    "orthogonal-maps": Measure(time_maps),
    "backends": Measure(time_backends, needs="cpu"),
    "gpu-correctness": Measure(gpu.check_kernels, needs="cuda"),
    "gpu-layers": Measure(gpu.time_dtype, needs="cuda"),
    "gpu-backends": Measure(time_backends, needs="cuda"),
    "gpu-plans": Measure(gpu.time_plans, needs="cuda"),
    "gpu-ensembles": Measure(gpu.time_ensembles, needs="cuda"),
}


def check(recipe: Timing, place: Place) -> None:
    """Rejects a device that is not here, or that the benchmark does not know.

    Raises:
        UsageError: It is so.
    """
    needs = MEASURES[recipe.benchmark].needs
    if needs is not None and recipe.device != needs:
        raise UsageError(f"the benchmark {recipe.benchmark} needs --device {needs}")
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch sees no GPU here")
    if recipe.benchmark in ("profile", "backends"):
        from torchmomentum.ops import available

        if not available():
            told = f"{recipe.benchmark} measures the CPU kernels, which are not in use here"
            raise UsageError(told)


def _apart(run: Callable[..., Measured], item: Any, **options: Any) -> Measured:
    threads = torch.get_num_threads()
    options.pop("tell")  # it does not reach into another process
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        return pool.submit(run, item, **options).result()


def measure(recipe: Timing, place: Place, tell: Tell) -> Result:
    """Measures, and sorts what was found: by thing, and what belongs to all of them."""
    kind = MEASURES[recipe.benchmark]
    torch.manual_seed(0)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    item = recipe.item if isinstance(recipe.item, str) else tuple(recipe.item)
    run = partial(_apart, kind.run) if kind.apart else kind.run
    found = dict(run(item, seconds=recipe.seconds, device=recipe.device, tell=tell))
    values = found.pop("layers")
    return Result(recipe={}, values=values, costs=found)
