"""The copying task, section 3.3 of the MomentumRNN paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data import synthetic
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._generated import SMOKE, generated_task
from torchmomentum.experiments.tasks._metrics import class_loss
from torchmomentum.experiments.tasks._task import Task


class Copying(Task):
    """Ten symbols, to be repeated after many blanks."""

    title = "copying task, 10 of 8 symbols"
    source = "MomentumRNN paper, Tables 6-10 (1,000 blanks; 7,000 iterations)"
    metric = "cross-entropy"
    options: ClassVar[dict[str, Any]] = {"length": 1000, "steps_per_epoch": 100}
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "rmsprop",
        "lr": 2e-4,
        "alpha": 0.9,
        "batch_size": 128,
        "epochs": 70,
        "hidden_size": 190,
        "init": "paper",
        "forget_bias": 2.0,
    }
    scales: ClassVar[dict[str, Any]] = {
        "smoke": {**SMOKE, "length": 20},
        "desk": {"length": 100, "epochs": 10},
    }
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.6, "step_size": 0.9},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 100},
        "adam": {"mu": 0.6, "step_size": 2.0, "beta": 0.999},
        "rmsprop": {"step_size": 2.0, "beta": 0.999},
    }
    exceptions = (("momentum", {"length": 2000}, {"mu": 0.9, "step_size": 2.0}),)

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return generated_task(
            recipe,
            synthetic.copying,
            least=1,
            loss=class_loss,
            metric_name=self.metric,
            input_size=synthetic.SYMBOLS + 2,
            output_size=synthetic.SYMBOLS + 1,
            each_step=True,
        )
