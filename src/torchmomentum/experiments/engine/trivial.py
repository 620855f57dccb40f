"""Trivial predictions: what any model should beat."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine.evaluation import evaluate
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.trivial import Trivial
from torchmomentum.experiments.tasks import task_of


class Persistence(nn.Module):
    """The next frame is as the last."""

    def __init__(self, data: Data) -> None:
        super().__init__()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``(T, B, N)`` to the same."""
        return x


class Mean(nn.Module):
    """The next frame is the mean of the frames of an epoch."""

    mean: Tensor

    def __init__(self, data: Data) -> None:
        super().__init__()
        total, count = torch.zeros(data.output_size, dtype=torch.float64), 0
        for _, target in data.train:
            frames = target[~target[..., 0].isnan()]  # (M, N)
            total += frames.double().sum(0)
            count += len(frames)
        self.register_buffer("mean", (total / count).float())

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``(T, B, N)`` to the same."""
        return self.mean.expand(*x.shape[:2], -1)


class Unigram(nn.Module):
    """A word is as probable as it is frequent in the training text, each counted once more."""

    scores: Tensor

    def __init__(self, data: Data) -> None:
        super().__init__()
        counts = torch.ones(data.output_size, dtype=torch.float64)
        for _, target in data.train:
            counts += torch.bincount(target.flatten(), minlength=len(counts))
        self.register_buffer("scores", counts.log().float())

    def forward(self, words: Tensor, begins: Tensor) -> Tensor:
        """``(T, B)`` to scores ``(T, B, V)``."""
        return self.scores.expand(*words.shape, -1)


_PREDICTORS: dict[str, type[nn.Module]] = {
    "persistence": Persistence,
    "mean": Mean,
    "unigram": Unigram,
}


def evaluate_trivial(recipe: Trivial, place: Place, tell: Tell) -> Result:
    """What a trivial prediction reaches, under the names that a training's values have."""
    training = recipe.data_of()
    data = task_of(recipe.task).load(training, place.data, offline=place.offline)
    model, found = _PREDICTORS[recipe.predictor](data), dict[str, Any]()
    for name, batches in (("chosen_validation", data.validation), ("chosen", data.test)):
        found[name] = evaluate(model, batches, data, torch.device("cpu"))[1]
    return Result(recipe={}, values=found, costs={"parameters": 0})
