"""Tasks: data, loss and metric. A task knows no model; a model learns its sizes from it.

To add one: write a function from a run's configuration to a :class:`SequenceTask`, enter it in
``_BUILDERS``, and its recipe in ``recipes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from torchmomentum.experiments.batches import (
    Batch,
    Batches,
    BatchStream,
    as_sequence,
    generated,
    generator,
    shuffled,
)
from torchmomentum.experiments.configuration import RunConfig
from torchmomentum.experiments.data import synthetic
from torchmomentum.experiments.data.digits import load_digits
from torchmomentum.experiments.data.mnist import load_mnist
from torchmomentum.experiments.errors import UsageError

_EVALUATED = 1000  # sequences of a generated task that are validated and tested on
_EVALUATION_BATCH = 500
_VALIDATION, _TEST, _SPLIT = -1, -2, -3  # apart from all seeds, which are not negative


@dataclass(frozen=True)
class Task:
    """Data, loss and metric.

    Attributes:
        train: The training batches.
        validation: Batches to choose the best epoch on; empty for none to choose by.
        test: Batches to report.
        loss: ``loss(output, target)``, a mean over the batch.
        metric: ``metric(output, target)``, likewise, what is reported.
        metric_name: What it is called.
        higher_is_better: Which way it improves.
        batch_dim: Which dimension of an input counts the samples.
        evaluate_every: Epochs between evaluations; the last has one always.
    """

    train: BatchStream
    validation: Sequence[Batch]
    test: Iterable[Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[Tensor, Tensor], Tensor]
    metric_name: str
    higher_is_better: bool
    batch_dim: int
    evaluate_every: int


@dataclass(frozen=True)
class SequenceTask(Task):
    """A task of sequences ``(T, B, I)``.

    Attributes:
        input_size: Features of a step.
        output_size: Outputs of the model.
        each_step: Whether an output is wanted at every step rather than at the last.
    """

    batch_dim: int = 1
    evaluate_every: int = 1
    input_size: int = 1
    output_size: int = 1
    each_step: bool = False


def _accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(-1) == target).float().mean()


def _pieces(inputs: Tensor, targets: Tensor) -> list[Batch]:
    pairs = zip(inputs.split(_EVALUATION_BATCH), targets.split(_EVALUATION_BATCH), strict=True)
    return [(as_sequence(x), y) for x, y in pairs]


def _images(
    config: RunConfig, arrays: tuple[Tensor, Tensor, Tensor, Tensor], held_out: int, permuted: bool
) -> SequenceTask:
    pixels, labels, test_pixels, test_labels = arrays
    if permuted:
        order = torch.randperm(pixels.shape[1], generator=generator(config.permutation_seed))
        pixels, test_pixels = pixels[:, order], test_pixels[:, order]
    # the validation samples are the same for every seed and model
    mixed = torch.randperm(len(pixels), generator=generator(_SPLIT))
    kept, validation = mixed[held_out:], mixed[:held_out]
    kept = kept[: config.train_limit]
    limit = config.test_limit
    if config.batch_size > len(kept):
        raise UsageError(
            f"batch_size must be at most the {len(kept)} training samples, got {config.batch_size}"
        )
    return SequenceTask(
        input_size=1,
        output_size=10,
        each_step=False,
        train=shuffled(pixels[kept], labels[kept], config.batch_size, config.order_seed),
        validation=_pieces(pixels[validation][:limit], labels[validation][:limit]),
        test=_pieces(test_pixels[:limit], test_labels[:limit]),
        loss=cross_entropy,
        metric=_accuracy,
        metric_name="accuracy",
        higher_is_better=True,
    )


def _digits(config: RunConfig, folder: Path, offline: bool, *, permuted: bool) -> SequenceTask:
    return _images(config, load_digits(), 180, permuted)


def _mnist(config: RunConfig, folder: Path, offline: bool, *, permuted: bool) -> SequenceTask:
    return _images(config, load_mnist(folder, offline=offline), 5000, permuted)


def _draws(
    draw: Callable[[int, int, torch.Generator], Batch], config: RunConfig, least: int
) -> tuple[Batches, list[Batch], list[Batch]]:
    length, steps = config.length, config.steps_per_epoch
    if length is None or steps is None:
        raise UsageError(f"{config.task} needs a length and steps_per_epoch")
    if length < least:
        raise UsageError(f"length must be at least {least} for {config.task}, got {length}")
    train = generated(draw, config.batch_size, length, steps, config.order_seed)
    batch = min(_EVALUATION_BATCH // 2, config.batch_size * 2)
    held = [
        [draw(batch, length, generator(kind, i)) for i in range(-(-_EVALUATED // batch))]
        for kind in (_VALIDATION, _TEST)
    ]
    return train, held[0], held[1]


def _adding(config: RunConfig, folder: Path, offline: bool) -> SequenceTask:
    train, validation, test = _draws(synthetic.adding, config, 2)
    return SequenceTask(
        input_size=2,
        output_size=1,
        each_step=False,
        train=train,
        validation=validation,
        test=test,
        loss=mse_loss,
        metric=mse_loss,
        metric_name="mean squared error",
        higher_is_better=False,
    )


def _class_loss(output: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(output.flatten(0, -2), target.flatten())


def _copying(config: RunConfig, folder: Path, offline: bool) -> SequenceTask:
    train, validation, test = _draws(synthetic.copying, config, 1)
    return SequenceTask(
        input_size=synthetic.SYMBOLS + 2,
        output_size=synthetic.SYMBOLS + 1,
        each_step=True,
        train=train,
        validation=validation,
        test=test,
        loss=_class_loss,
        metric=_class_loss,
        metric_name="cross-entropy",
        higher_is_better=False,
    )


_BUILDERS: dict[str, Callable[[RunConfig, Path, bool], SequenceTask]] = {
    "digits": partial(_digits, permuted=False),
    "pdigits": partial(_digits, permuted=True),
    "mnist": partial(_mnist, permuted=False),
    "pmnist": partial(_mnist, permuted=True),
    "adding": _adding,
    "copying": _copying,
}


def build_task(config: RunConfig, folder: Path, *, offline: bool = False) -> SequenceTask:
    """Makes a run's task.

    Args:
        config: The run.
        folder: The data folder.
        offline: Does not download what is missing.

    Raises:
        UsageError: Data that is missing or damaged, or sizes that do not fit it.
    """
    return _BUILDERS[config.task](config, folder, offline)
