"""The recipe of a prediction that learns nothing of what came before: what any model should beat.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.recipe import Recipe, Training
from torchmomentum.experiments.registry import attribute

# persistence: the last frame again; mean: that of all training frames; unigram: how often each word
# stands in the training text
PREDICTORS = ("persistence", "mean", "unigram")


@dataclass(frozen=True)
class Trivial(Recipe):
    """A trivial prediction on a task.

    Attributes:
        predictor: A name of :data:`PREDICTORS`.
        task: The task's name.
        task_options: What it takes.
        batch_size: Samples of a training batch. What an epoch leaves out, less than a batch, is not
            counted.
    """

    computation: ClassVar[str] = "torchmomentum.experiments.engine.trivial:evaluate_trivial"

    predictor: str
    task: str
    task_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1

    @classmethod
    def beside(cls, predictor: str, training: Training) -> Trivial:
        """On the data of a training."""
        return cls(predictor, training.task, training.task_options, training.batch_size)

    @property
    def label(self) -> str:
        """Task and predictor."""
        return f"{self.task}-{self.predictor}"

    def data_of(self) -> Training:
        """The training whose data it is; it has no model."""
        return Training(
            self.task, "", "", task_options=self.task_options, batch_size=self.batch_size
        )

    def check(self, place: Place) -> None:
        """See :meth:`Recipe.check`."""
        task = attribute("torchmomentum.experiments.tasks:task_of")(self.task)
        task.check_data(place.data, offline=place.offline)
