"""Tasks whose sequences are drawn anew at each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from torchmomentum.experiments.data.batches import Batch, generated, generator
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training

SMOKE = {"epochs": 1, "steps_per_epoch": 5, "hidden_size": 16}
_EVALUATED = 1000  # sequences to validate on, and to test on
_EVALUATION_BATCH = 250
_VALIDATION, _TEST = -1, -2  # apart from all seeds, which are not negative
Draw = Callable[[int, int, torch.Generator], Batch]


def generated_task(
    recipe: Training,
    draw: Draw,
    *,
    least: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    metric_name: str,
    input_size: int,
    output_size: int,
    each_step: bool = False,
    metric: Callable[[Tensor, Tensor], Tensor] | None = None,
    higher_is_better: bool = False,
) -> Data:
    """Data of sequences that ``draw(count, length, generator)`` makes.

    Args:
        recipe: The run's; its task takes ``length`` and ``steps_per_epoch``.
        draw: Makes inputs ``(T, B, I)`` and targets.
        least: The shortest length.
        loss: A mean over the batch.
        metric_name: What the metric is called.
        input_size: Features of a step.
        output_size: Outputs of the model.
        each_step: Whether an output is wanted at every step.
        metric: What is reported; None for the loss.
        higher_is_better: Which way it improves.

    Raises:
        UsageError: A length or a number of steps that is too small.
    """
    length, steps = recipe.task_options["length"], recipe.task_options["steps_per_epoch"]
    if length < least:
        raise UsageError(f"length must be at least {least} for {recipe.task}, got {length}")
    batch = min(_EVALUATION_BATCH, recipe.batch_size * 2)
    validation, test = (
        [draw(batch, length, generator(kind, i)) for i in range(-(-_EVALUATED // batch))]
        for kind in (_VALIDATION, _TEST)
    )
    return Data(
        train=generated(draw, recipe.batch_size, length, steps, recipe.order_seed),
        validation=validation,
        test=test,
        loss=loss,
        metric=metric or loss,
        metric_name=metric_name,
        higher_is_better=higher_is_better,
        input_size=input_size,
        output_size=output_size,
        each_step=each_step,
    )
