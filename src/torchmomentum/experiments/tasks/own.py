"""A task of the user's own data: loaders, as every PyTorch training has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from torchmomentum.experiments.data.batches import Batch
from torchmomentum.experiments.data.loader import LoaderStream
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.digest import checksum
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._metrics import IGNORED, accuracy, class_loss
from torchmomentum.experiments.tasks._task import Task

Loss = Callable[[Tensor, Tensor], Tensor]


def _tensors(given: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    """A loader's ``(x, y)`` or ``(x, lengths, y)``.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise UsageError(
            "a loader must give (x, y) or (x, lengths, y), got "
            f"{type(given).__name__}{f' of {len(given)}' if hasattr(given, '__len__') else ''}"
        )
    if not all(isinstance(part, Tensor) for part in given):
        raise UsageError("a loader must give tensors")
    x, *lengths, y = given
    return x, lengths[0] if lengths else None, y


def _has_targets_of_steps(x: Tensor, y: Tensor) -> bool:
    """Whether a target stands for every step of ``x``, as its shape tells.

    Raises:
        UsageError: Its shape does not tell.
    """
    if y.dim() < 2 or y.shape[:2] != x.shape[:2]:
        return False
    if y.dim() == 2 and y.is_floating_point():
        raise UsageError(
            f"targets of shape {tuple(y.shape)} may be one for each step or {y.shape[1]} for each "
            "sequence: give OwnData(..., each_step=True or False)"
        )
    return True


def square_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error over all targets that are not NaN.

    Raises:
        UsageError: Output and target differ in shape.
    """
    if output.shape != target.shape:
        raise UsageError(
            f"the model's output must have the target's shape {tuple(target.shape)}, got "
            f"{tuple(output.shape)}"
        )
    known = ~target.isnan()
    return mse_loss(output, target) if known.all() else mse_loss(output[known], target[known])


class _Form:
    """How a loader's batches become ours: inputs ``(T, B, I)``, and the target.

    Args:
        batch_first: Whether inputs are ``(B, T, I)``.
        each_step: Whether there is a target for every step.
        classes: How many classes there are; None for a regression.
    """

    def __init__(self, batch_first: bool, each_step: bool, classes: int | None) -> None:
        self._batch_first, self._each_step, self._classes = batch_first, each_step, classes

    def __call__(self, given: Any) -> Batch:
        x, lengths, y = _tensors(given)
        if self._classes is None and y.dim() == 1 + self._each_step:
            y = y.unsqueeze(-1)
        if self._classes is not None and y.numel() and int(y.max()) >= self._classes:
            raise UsageError(
                f"the class {int(y.max())} is not among the {self._classes} of the test data: "
                "give OwnData(..., output_size=...)"
            )
        if self._batch_first:
            x = x.transpose(0, 1)  # (T, B, I)
            y = y.transpose(0, 1) if self._each_step else y  # (T, B, ...)
        if lengths is None:
            return x, y
        if self._each_step:
            ended = torch.arange(len(y)).unsqueeze(1) >= lengths.cpu()  # (T, B)
            ended = ended.view(*ended.shape, *[1] * (y.dim() - 2)).to(y.device)
            y = y.masked_fill(ended, IGNORED if self._classes is not None else torch.nan)
        return (x, lengths), y


class OwnData(Task):
    """Training, validation and test loaders, with a loss and a metric.

    Args:
        train: Gives ``(x, y)`` or ``(x, lengths, y)`` batches, and has a length: a
            ``torch.utils.data.DataLoader``, or a list of batches.
        test: Likewise, to report.
        validation: Likewise, to choose the epoch by; None reports the last epoch.
        loss: ``loss(output, target)``, a mean; None takes cross-entropy for whole-number targets
            and the squared error for others. With lengths and a target for every step, targets
            after a sequence's end are -100 or NaN; the defaults leave them out.
        metric: Likewise, what is reported; None takes accuracy with cross-entropy, else the loss.
        metric_name: What it is called.
        higher_is_better: Which way it improves; None: accuracy up, all others down.
        output_size: Outputs of the model; None takes the classes of the test and validation data,
            or the target's features.
        each_step: Whether there is a target for every step: whole numbers ``(B, T)``, others
            ``(B, T, K)`` or ``(B, T)``. None tells by the shape.
        batch_first: Whether ``x`` is ``(B, T, I)`` instead of ``(T, B, I)``.
        name: What the task is called.

    Raises:
        UsageError: Loaders that are empty or give something else, or targets whose shape does not
            tell what they are.
    """

    source = "own"
    recipe: ClassVar[dict[str, Any]] = {
        "optimizer": "adam",
        "lr": 1e-3,
        "epochs": 10,
        "batch_size": 1,
        "clip": 1.0,
    }

    def __init__(
        self,
        train: Any,
        test: Iterable[Any],
        validation: Iterable[Any] | None = None,
        *,
        loss: Loss | None = None,
        metric: Loss | None = None,
        metric_name: str | None = None,
        higher_is_better: bool | None = None,
        output_size: int | None = None,
        each_step: bool | None = None,
        batch_first: bool = True,
        name: str = "own data",
    ) -> None:
        if not hasattr(train, "__len__"):
            kind = type(train).__name__
            raise UsageError(f"the training loader must have a length, got {kind}")
        if not len(train):
            raise UsageError("the training loader gives no batch")
        tested, held_out = [*test], [*(validation or ())]
        if not tested:
            raise UsageError("the test loader gives no batch")
        x, _, y = _tensors(tested[0])
        classes = not y.is_floating_point()
        each_step = _has_targets_of_steps(x, y) if each_step is None else each_step
        if output_size is None:
            targets = [_tensors(each)[2] for each in (*tested, *held_out)]
            scalar = y.dim() == 1 + each_step
            features = 1 if scalar else y.shape[-1]
            output_size = 1 + int(max(y.max() for y in targets)) if classes else features
        self._form = _Form(batch_first, each_step, output_size if classes else None)
        self._train, self._each_step = train, each_step
        self._input_size, self._output_size = x.shape[-1], output_size
        self._test: list[Batch] = [self._form(each) for each in tested]
        self._validation: Sequence[Batch] = [self._form(each) for each in held_out]
        self._loss: Loss = loss or (class_loss if classes else square_loss)
        counted = loss is None and classes and metric is None
        self._metric: Loss = metric or (accuracy if counted else self._loss)
        self.metric = metric_name or ("accuracy" if counted else "loss")  # type: ignore[misc]
        better = counted if higher_is_better is None else higher_is_better
        self.higher_is_better = better  # type: ignore[misc]
        self.title, self.name = name, name  # type: ignore[misc]

    def fingerprint(self) -> str:
        """A checksum: other data, another loader or another loss of the same name is another run's.

        See :func:`~.digest.checksum`.
        """
        return checksum(self._test, self._validation, self._train, self._loss, self._metric)

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return Data(
            train=LoaderStream(self._train, recipe.order_seed, self._form),
            validation=self._validation,
            test=self._test,
            loss=self._loss,
            metric=self._metric,
            metric_name=self.metric,
            higher_is_better=self.higher_is_better,
            input_size=self._input_size,
            output_size=self._output_size,
            each_step=self._each_step,
        )
