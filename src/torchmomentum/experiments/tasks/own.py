"""A task of the user's own data: loaders, as every PyTorch training has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from torchmomentum.experiments.data.batches import Batch, BatchStream, generator
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._data import Data, accuracy, class_loss
from torchmomentum.experiments.tasks._task import Task

Loss = Callable[[Tensor, Tensor], Tensor]


def _each_step(x: Tensor, y: Tensor) -> bool:
    """Whether there is a target for every step: its first two dimensions are the input's."""
    return y.dim() >= 2 and y.shape[:2] == x.shape[:2]


def as_batch(given: Any, batch_first: bool) -> Batch:
    """A loader's ``(x, y)`` or ``(x, lengths, y)`` as ours: inputs time-major, then the target.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise UsageError(
            "a loader must give (x, y) or (x, lengths, y), got "
            f"{type(given).__name__}{f' of {len(given)}' if hasattr(given, '__len__') else ''}"
        )
    x, *lengths, y = given
    if not all(isinstance(part, Tensor) for part in (x, *lengths, y)):
        raise UsageError("a loader must give tensors")
    if batch_first:
        y = y.transpose(0, 1) if _each_step(x, y) else y  # (T, B, ...)
        x = x.transpose(0, 1)  # (T, B, I)
    return ((x, lengths[0]) if lengths else x), y


class LoaderStream(BatchStream):
    """A loader's batches, its random numbers being its own: those of a seed and the epoch.

    Args:
        loader: Iterable, with a length.
        seed: Fixes its order.
        batch_first: Whether its inputs are ``(B, T, ...)``.
    """

    def __init__(self, loader: Any, seed: int, batch_first: bool) -> None:
        super().__init__(len(loader))
        self._loader, self._seed, self._batch_first = loader, seed, batch_first

    def __iter__(self) -> Iterator[Batch]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(self._seed, self.epoch).initial_seed())
            iterator, state = iter(self._loader), torch.get_rng_state()
        for index in range(len(self)):
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                given = next(iterator)
                state = torch.get_rng_state()
            if index >= self.start:
                yield as_batch(given, self._batch_first)


class OwnData(Task):
    """Training, validation and test loaders, with a loss and a metric.

    Args:
        train: Gives ``(x, y)`` or ``(x, lengths, y)`` batches, and has a length: a
            ``torch.utils.data.DataLoader``, or a list of batches. A target whose first two
            dimensions are those of ``x`` has one for every step.
        test: Likewise, to report.
        validation: Likewise, to choose the epoch by; None reports the last epoch.
        loss: ``loss(output, target)``, a mean; None takes cross-entropy for whole-number targets
            and the squared error for others.
        metric: Likewise, what is reported; None takes accuracy with cross-entropy, else the loss.
        metric_name: What it is called.
        higher_is_better: Which way it improves; None: accuracy up, all others down.
        output_size: Outputs of the model; None takes the classes, or the target's features.
        batch_first: Whether ``x`` is ``(B, T, I)`` instead of ``(T, B, I)``.
        name: What the task is called.

    Raises:
        UsageError: Loaders that give something else.
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
        batch_first: bool = True,
        name: str = "own data",
    ) -> None:
        self._train, self._batch_first = train, batch_first
        self._test: list[Batch] = [as_batch(each, batch_first) for each in test]
        self._validation: Sequence[Batch] = [as_batch(b, batch_first) for b in validation or ()]
        if not self._test:
            raise UsageError("the test loader gives no batch")
        inputs, y = self._test[0]
        x = inputs[0] if isinstance(inputs, tuple) else inputs
        classes = not y.is_floating_point()
        self._loss: Loss = loss or (class_loss if classes else mse_loss)
        counted = loss is None and classes and metric is None
        self._metric: Loss = metric or (accuracy if counted else self._loss)
        self.metric = metric_name or ("accuracy" if counted else "loss")  # type: ignore[misc]
        better = counted if higher_is_better is None else higher_is_better
        self.higher_is_better = better  # type: ignore[misc]
        self.title, self.name = name, name  # type: ignore[misc]
        self._input_size = x.shape[-1]
        self._each_step = _each_step(x, y)
        if output_size is None:
            targets = [y for _, y in (*self._test, *self._validation)]
            output_size = 1 + int(max(y.max() for y in targets)) if classes else y.shape[-1]
        self._output_size = output_size

    def fingerprint(self) -> str:
        """A checksum of the test batches: other data of the same name is another run's."""
        digest = hashlib.sha256()
        for inputs, y in self._test:
            parts = inputs if isinstance(inputs, tuple) else (inputs,)
            for part in (*parts, y):
                digest.update(part.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """See :meth:`Task.load`."""
        return Data(
            train=LoaderStream(self._train, recipe.order_seed, self._batch_first),
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
