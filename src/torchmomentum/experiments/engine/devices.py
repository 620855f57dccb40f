"""What a run trains on: devices and machines, and what each of them holds."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import DoublePrecision, MixedPrecision, Precision
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import nn

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import DEVICES, PRECISIONS, STRATEGIES, Training

_OF_MACHINES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


class _Double(DoublePrecision):
    """All in float64; Fabric's rounds outputs to float32."""

    def convert_output(self, data: Any) -> Any:
        """As it is."""
        return data


def processes_of(recipe: Training) -> int:
    """How many processes train a run together."""
    return recipe.devices * recipe.nodes


def check_devices(recipe: Training) -> None:
    """Rejects what this machine does not have, and what does not go together.

    Raises:
        UsageError: One line on what, and what to do.
    """
    check_name("device", recipe.device, DEVICES)
    check_name("precision", recipe.precision, PRECISIONS)
    check_name("strategy", recipe.strategy, STRATEGIES)
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda is not available here; use cpu")
    if recipe.device == "cuda" and recipe.devices > torch.cuda.device_count():
        raise UsageError(
            f"devices must be at most the {torch.cuda.device_count()} here, got {recipe.devices}"
        )
    if recipe.strategy == "fsdp2" and processes_of(recipe) == 1:
        raise UsageError("strategy fsdp2 needs several devices; give --devices")
    if recipe.precision == "float16" and recipe.on_nonfinite == "skip":
        raise UsageError("on_nonfinite must be raise with float16, which skips steps by itself")
    if recipe.precision == "float16" and recipe.device == "cpu":
        raise UsageError("precision float16 needs device cuda; use bfloat16")
    _check_launcher(recipe)


def _check_launcher(recipe: Training) -> None:
    count = processes_of(recipe)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        started = int(os.environ["WORLD_SIZE"])
        if started != count:
            raise UsageError(
                f"torchrun started {started} processes, and devices x nodes is {count}: "
                "give --devices and --nodes"
            )
    elif recipe.nodes > 1 and not all(name in os.environ for name in _OF_MACHINES):
        raise UsageError(
            f"nodes {recipe.nodes} needs torchrun, or {', '.join(_OF_MACHINES)} set on each machine"
        )


def _precision(recipe: Training) -> Precision:
    if recipe.precision == "float64":
        return _Double()
    if recipe.precision == "float32":
        return Precision()
    kind: Any = "16-mixed" if recipe.precision == "float16" else "bf16-mixed"
    return MixedPrecision(kind, recipe.device)


def _sharded(model: nn.Module, mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    fully_shard(model, mesh=mesh["data_parallel"])
    return model


def launch(recipe: Training) -> Fabric:
    """Starts the processes that train a run together, unless torchrun has, and joins them."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    count = processes_of(recipe)
    strategy: Any = "ddp" if count > 1 else "auto"
    if recipe.strategy == "fsdp2":
        strategy = ModelParallelStrategy(_sharded, data_parallel_size=count, tensor_parallel_size=1)
    fabric = Fabric(
        accelerator="gpu" if recipe.device == "cuda" else "cpu",
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=strategy,
        plugins=_precision(recipe),
    )
    fabric.launch()
    return fabric


def end_others(fabric: Fabric) -> None:
    """Ends the processes that :func:`launch` started: they may wait for this one forever."""
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        process.kill()
