"""Tasks: one a file. A task knows no model; a model learns its sizes from the task's data."""

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.tasks._generated import generated_task
from torchmomentum.experiments.tasks._metrics import IGNORED, accuracy, error_rate
from torchmomentum.experiments.tasks._task import Task, task_of

__all__ = ["IGNORED", "Data", "Task", "accuracy", "error_rate", "generated_task", "task_of"]
