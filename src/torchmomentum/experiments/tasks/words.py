"""Predicting the next word, sections 3.4 and A.3 of the MomentumRNN paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from torchmomentum._checks import check_integer
from torchmomentum.experiments.data.check import check_data
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.data.text import Text, load_ptb, made_text, text_of
from torchmomentum.experiments.data.text_files import SHAKESPEARE, read_known, read_own
from torchmomentum.experiments.data.windows import Windows, even_windows, in_columns
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import hash_of
from torchmomentum.experiments.tasks._metrics import class_loss
from torchmomentum.experiments.tasks._task import Task

_VALIDATION_COLUMNS = 10  # as in the released code, which tests in one column
_LARGEST = 700.0  # whose exponential is finite


def perplexity(loss: float) -> float:
    """The exponential of a mean cross-entropy in nats."""
    return math.exp(loss) if loss < _LARGEST else math.inf


class PTB(Task):
    """The Penn Treebank by words, from a user's own copy.

    The perplexity is that of each predicted word, ``<eos>`` among them. The released code divides
    the same sum by one row of words more, which makes its perplexities lower by less than 0.1 %.
    """

    title = "Penn Treebank, the next word"
    source = "MomentumRNN paper, Tables 6, 7 and 10; Adam's and RMSProp's numbers are our own"
    metric = "perplexity"
    options: ClassVar[dict[str, Any]] = {"window": 70, "test_columns": 1}
    least: ClassVar[dict[str, int]] = {"window": 1, "test_columns": 1}
    recipe: ClassVar[dict[str, Any]] = {
        "model": "awd-lstm",
        "optimizer": "nt-asgd",
        "lr": 30.0,
        "weight_decay": 1.2e-6,
        "clip": 0.25,
        "batch_size": 20,
        "epochs": 500,
        "hidden_size": 1150,
        "embedding_size": 400,
        "init": "paper",
    }
    scales: ClassVar[dict[str, Any]] = {
        "smoke": {"epochs": 1, "hidden_size": 16, "embedding_size": 16},
        "desk": {"epochs": 8, "hidden_size": 400, "embedding_size": 200, "test_columns": 10},
    }
    rules: ClassVar[dict[str, Any]] = {
        "momentum": {"mu": 0.0, "step_size": 0.6},
        "nag": {"step_size": 0.6},
        "sr": {"step_size": 0.6, "restart": 2},
        "adam": {"mu": 0.3, "step_size": 0.6, "beta": 0.999},
        "rmsprop": {"step_size": 0.6, "beta": 0.999},
    }

    def _text(self, recipe: Training, folder: Path, *, offline: bool) -> Text:
        return load_ptb(folder)

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        options = recipe.task_options
        if recipe.devices > 1:
            raise UsageError(
                f"devices must be 1 for {recipe.task}, whose state goes on from window to window, "
                f"got {recipe.devices}"
            )
        text, window = self._text(recipe, folder, offline=offline), options["window"]

        def rate(target: Tensor) -> float:
            return len(target) / float(window)

        return Data(
            train=Windows(in_columns(text.train, recipe.batch_size), window, recipe.order_seed),
            validation=even_windows(in_columns(text.validation, _VALIDATION_COLUMNS), window),
            test=even_windows(in_columns(text.test, options["test_columns"]), window),
            loss=class_loss,
            metric=class_loss,
            metric_name=self.metric,
            higher_is_better=False,
            input_size=0,
            output_size=len(text.words),
            each_step=True,
            weigh=Tensor.numel,
            report=perplexity,
            rate=rate,
        )

    def check_options(self, options: Mapping[str, Any]) -> None:
        """See :meth:`Task.check_options`."""
        for name, least in self.least.items():
            check_integer(name, options[name], least)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data("ptb", folder, offline=offline)


class Words(PTB):
    """Shakespeare by words: free data that stands in for the Treebank."""

    title = "tinyshakespeare, the next word"
    source = "own data, the Penn Treebank's recipe"
    options: ClassVar[dict[str, Any]] = {**PTB.options, "vocabulary": 5000}
    least: ClassVar[dict[str, int]] = {**PTB.least, "vocabulary": 2}

    def _text(self, recipe: Training, folder: Path, *, offline: bool) -> Text:
        content = read_known(folder, SHAKESPEARE, offline=offline)
        return text_of(content, recipe.task_options["vocabulary"], SHAKESPEARE.name)

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """See :meth:`Task.check_data`."""
        check_data("tinyshakespeare", folder, offline=offline)


class OwnText(Words):
    """Any text of a user's, by words."""

    title = "a text of yours (file=...), the next word"
    options: ClassVar[dict[str, Any]] = {**Words.options, "file": None}

    def _text(self, recipe: Training, folder: Path, *, offline: bool) -> Text:
        options = recipe.task_options
        return text_of(read_own(options["file"]), options["vocabulary"], options["file"])

    def sources(self, options: Mapping[str, Any]) -> dict[str, str]:
        """See :meth:`Task.sources`."""
        file = options["file"]
        return {str(file): hash_of(read_own(file).encode())}

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """The recipe has read it."""


class SyntheticWords(PTB):
    """Words that each depend on the one before: no data is needed."""

    title = "words that depend on the one before, the next word"
    source = "own data, the Penn Treebank's recipe"
    options: ClassVar[dict[str, Any]] = {**PTB.options, "test_columns": 10}
    recipe: ClassVar[dict[str, Any]] = {**PTB.recipe, "hidden_size": 32, "embedding_size": 32}
    scales: ClassVar[dict[str, Any]] = {"smoke": {"epochs": 1}}

    def _text(self, recipe: Training, folder: Path, *, offline: bool) -> Text:
        return made_text([8000, 1000, 1000])

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """It is made on the spot."""
