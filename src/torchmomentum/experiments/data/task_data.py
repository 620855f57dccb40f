"""What a task gives to train and test on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from torchmomentum.experiments.data.batches import Batch, BatchStream


@dataclass(frozen=True)
class Data:
    """Batches, loss and metric.

    A batch is ``(inputs, target)``; inputs that are a tuple are the model's arguments, so that a
    sequence task gives ``(x, lengths)`` where its sequences differ in length.

    Attributes:
        train: The training batches.
        validation: Batches to choose the best epoch on; empty for none to choose by.
        test: Batches to report.
        loss: ``loss(output, target)``, a mean over the batch.
        metric: ``metric(output, target)``, likewise, what is reported.
        metric_name: What it is called.
        higher_is_better: Which way it improves.
        input_size: Features of a step, or channels of an image; 0 where inputs are words' numbers.
        output_size: Outputs of the model.
        each_step: Whether an output is wanted at every step rather than at the last.
        weigh: ``weigh(target)``, how much a batch counts in a mean over batches; None for its
            targets that are not -100 or NaN.
        report: What becomes of the mean of the metric before it is reported; None for nothing.
        rate: ``rate(target)``, what the learning rate is multiplied by for a training batch; None
            for nothing.
        batch_dim: Which dimension of an input counts the samples: 1 for sequences ``(T, B, I)``.
    """

    train: BatchStream
    validation: Sequence[Batch]
    test: Iterable[Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[Tensor, Tensor], Tensor]
    metric_name: str
    higher_is_better: bool
    input_size: int = 1
    output_size: int = 1
    each_step: bool = False
    weigh: Callable[[Tensor], int] | None = None
    report: Callable[[float], float] | None = None
    rate: Callable[[Tensor], float] | None = None
    batch_dim: int = 1
