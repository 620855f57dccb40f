"""Predicting the next frame of speech, sections 3.2 and A.2 of the MomentumRNN paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from torchmomentum.experiments.data.audio import BINS
from torchmomentum.experiments.data.batches import Batch, reordered
from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.spoken_digits import load_spoken_digits
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.data.timit import load_timit
from torchmomentum.experiments.data.tones import load_tones
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._metrics import counted, masked_squared_error
from torchmomentum.experiments.tasks._task import Task

_EVALUATION_BATCH = 100


def _batch(sentences: Sequence[Tensor]) -> Batch:
    """Sentences ``(T, 129)`` as inputs, their lengths, and what is to be predicted of them.

    The target is NaN beyond a sentence's end.
    """
    lengths = torch.tensor([len(each) - 1 for each in sentences])
    inputs = pad_sequence([each[:-1] for each in sentences])  # (T, B, 129)
    target = pad_sequence([each[1:] for each in sentences], padding_value=float("nan"))
    return (inputs, lengths), target


def _pieces(sentences: Sequence[Tensor]) -> list[Batch]:
    ordered = sorted(sentences, key=len)  # less padding
    starts = range(0, len(ordered), _EVALUATION_BATCH)
    return [_batch(ordered[start : start + _EVALUATION_BATCH]) for start in starts]


class TIMIT(Task):
    """The next frame of TIMIT's sentences: mean squared error of 129 log-magnitudes."""

    title = "TIMIT, the next frame"
    source = "MomentumRNN paper, Tables 6-10"
    metric = "mean squared error"
    options: ClassVar[dict[str, Any]] = {"train_limit": None, "test_limit": None}
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "lr": 1e-4,
        "batch_size": 32,
        "epochs": 700,
        "hidden_size": 158,
        "init": "paper",
        "forget_bias": -8.0,
    }
    scales: ClassVar[dict[str, Any]] = {
        "smoke": {"epochs": 1, "hidden_size": 8, "train_limit": 32, "test_limit": 8},
        "desk": {"epochs": 20},
    }
    cells: ClassVar[dict[str, Any]] = {
        "dtriv": {
            "optimizer": "adam-rmsprop",
            "lr": 1e-3,
            "orthogonal_lr": 2e-4,
            "rebase_every": 0,
            "orthogonal_init": "henaff",
            "batch_size": 128,
        }
    }
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.3, "step_size": 0.1},
        "sr": {"step_size": 0.1, "restart": 2},
        "adam": {"mu": 0.3, "step_size": 0.1, "beta": 0.999},
        "rmsprop": {"step_size": 0.1, "beta": 0.999},
        "momentum-dtriv": {"mu": 0.3, "step_size": 0.1},
    }

    def _sentences(self, folder: Path) -> dict[str, list[Tensor]]:
        return load_timit(folder)

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        parts, options = self._sentences(folder), recipe.task_options
        train, limit = parts["train"][: options["train_limit"]], options["test_limit"]
        if recipe.batch_size > len(train):
            raise UsageError(
                f"batch_size must be at most the {len(train)} training sentences, got "
                f"{recipe.batch_size}"
            )
        return Data(
            train=reordered(
                len(train),
                recipe.batch_size,
                recipe.order_seed,
                lambda chosen: _batch([train[i] for i in chosen.tolist()]),
            ),
            validation=_pieces(parts["validation"][:limit]),
            test=_pieces(parts["test"][:limit]),
            loss=masked_squared_error,
            metric=masked_squared_error,
            metric_name=self.metric,
            higher_is_better=False,
            input_size=BINS,
            output_size=BINS,
            each_step=True,
            weigh=counted,
        )

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data("timit", folder, offline=offline)


class SpokenDigits(TIMIT):
    """The same of spoken digits, joined to sentences: free data that stands in for TIMIT."""

    title = "spoken digits joined to sentences, the next frame"
    source = "own data, TIMIT's recipe at a learning rate of 1e-3"
    recipe: ClassVar[dict[str, Any]] = {**TIMIT.recipe, "lr": 1e-3, "epochs": 200}

    def _sentences(self, folder: Path) -> dict[str, list[Tensor]]:
        return load_spoken_digits(folder)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data("spoken-digits", folder, offline=offline)


class SyntheticSpeech(TIMIT):
    """The same of tones in noise: no data is needed, and nothing is to be learned of speech."""

    title = "tones in noise, the next frame"
    source = "own data, TIMIT's recipe"

    def _sentences(self, folder: Path) -> dict[str, list[Tensor]]:
        return load_tones({"train": 160, "validation": 16, "test": 16})

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """It is made on the spot."""
