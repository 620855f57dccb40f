"""Selective copying, the task that tells cells whose gates read the input from fixed filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from torchmomentum.experiments.data import synthetic
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._generated import SMOKE, generated_task
from torchmomentum.experiments.tasks._metrics import IGNORED, accuracy, class_loss
from torchmomentum.experiments.tasks._task import GAINS_OF_ONE, Task


def _draw(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    inputs, tokens = synthetic.selective_copying(count, length, generator)
    return inputs, pad(tokens, (0, 0, length, 0), value=IGNORED)


class SelectiveCopying(Task):
    """Sixteen tokens of fourteen kinds at random steps among noise, to be repeated in their order.

    Sizes, batch and steps after Gu and Dao, "Mamba" (2023); minGRU's layers, width, dropout and
    learning rate after Feng et al., "Were RNNs all we needed?" (2024). Unchecked, see
    ``docs/choices.md``.
    """

    title = "selective copying, 16 of 14 tokens"
    source = "Mamba's and minGRU's recipes, unchecked (4,096 steps; 400,000 iterations)"
    metric, higher_is_better = "accuracy", True
    options: ClassVar[dict[str, Any]] = {"length": 4096, "steps_per_epoch": 1000}
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "lr": 3e-4,
        "batch_size": 64,
        "epochs": 400,
        "hidden_size": 64,
        "init": "torch",
    }
    scales: ClassVar[dict[str, Any]] = {
        "smoke": {**SMOKE, "length": 20},
        "desk": {"length": 64, "epochs": 10, "steps_per_epoch": 200, "lr": 3e-3},
    }
    cells: ClassVar[dict[str, Any]] = {"mingru": {"depth": 3, "dropout": 0.1}}
    rules = GAINS_OF_ONE

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return generated_task(
            recipe,
            _draw,
            least=synthetic.ASKED,
            loss=class_loss,
            metric_name=self.metric,
            input_size=synthetic.KINDS,
            output_size=synthetic.KINDS - 1,  # all but the sign that asks
            each_step=True,
            metric=accuracy,
            higher_is_better=True,
        )
