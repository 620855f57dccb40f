"""The adding problem, section 3.3 of the MomentumRNN paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch.nn.functional import mse_loss

from torchmomentum.experiments.data import synthetic
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._generated import SMOKE, generated_task
from torchmomentum.experiments.tasks._task import Task


class Adding(Task):
    """The sum of two marked values."""

    title = "adding problem"
    source = "MomentumRNN paper, Tables 6-10 (1,200 iterations)"
    metric = "mean squared error"
    options: ClassVar[dict[str, Any]] = {"length": 750, "steps_per_epoch": 100}
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "lr": 2e-4,
        "batch_size": 50,
        "epochs": 12,
        "hidden_size": 128,
        "init": "paper",
        "forget_bias": 2.0,
    }
    scales: ClassVar[dict[str, Any]] = {
        "smoke": {**SMOKE, "length": 20},
        "desk": {"length": 100, "epochs": 6},
    }
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.9, "step_size": 2.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 100},
        "adam": {"mu": 0.6, "step_size": 2.0, "beta": 0.999},
        "rmsprop": {"step_size": 2.0, "beta": 0.999},
    }

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return generated_task(
            recipe,
            synthetic.adding,
            least=2,
            loss=mse_loss,
            metric_name=self.metric,
            input_size=2,
            output_size=1,
        )
