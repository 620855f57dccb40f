"""What a model reaches on batches, and what is made of a run's history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.experiments.data.batches import Batch
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.tasks import IGNORED


def to_device(value: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """A tensor, or a tuple of them, on a device; with a type, real numbers have that."""
    if isinstance(value, Tensor):
        return value.to(device, dtype if value.is_floating_point() else None)
    return tuple(to_device(part, device, dtype) for part in value)


def wide(dtype: torch.dtype) -> torch.dtype | None:
    """What data has to be converted to: float64, where that is computed with."""
    return dtype if dtype == torch.float64 else None


def run_model(model: nn.Module, inputs: Any) -> Tensor:
    """The model's output; inputs that are a tuple are its arguments."""
    output: Tensor = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    return output


def weight_of(target: Tensor, data: Data) -> int:
    """How much a batch, or a part of one, counts in a mean: as many targets as are known."""
    if data.weigh is not None:
        return data.weigh(target)
    known = ~target.isnan() if target.is_floating_point() else target != IGNORED
    return int(known.sum())


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    data: Data,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    convert: Callable[[Any], Any] = lambda inputs: inputs,
) -> tuple[float, float]:
    """Mean loss and metric over batches, weighted by :func:`weight_of`.

    Args:
        model: What is evaluated.
        batches: Of inputs and target.
        data: Its loss, its metric and its weights.
        device: Where the model is.
        dtype: The output is converted to it before the loss.
        convert: What the inputs go through first: to the type that the model is trained on.
    """
    model.eval()
    totals = torch.zeros(2, dtype=torch.float64)
    counted = 0
    for x, y in batches:
        output = run_model(model, convert(to_device(x, device, wide(dtype)))).to(dtype)
        target = to_device(y, device, wide(dtype))
        count = weight_of(target, data)
        if not count:
            continue  # where no target is known the mean is not
        values = torch.stack([data.loss(output, target), data.metric(output, target)])
        totals += values.double().cpu() * count
        counted += count
    model.train()
    loss, metric = (totals / counted).tolist()
    return loss, metric if data.report is None else data.report(metric)


def summary(history: Sequence[dict[str, float]], data: Data) -> dict[str, Any]:
    """The test metric at its best, at the end, and where the validation metric was best.

    Where nothing is held out for validation, the end is what is chosen, and has no validation
    metric.
    """
    better = max if data.higher_is_better else min
    chosen = history[-1]
    if data.validation:
        chosen = better(history, key=lambda record: record["validation_metric"])
    return {
        "best": better(record["test_metric"] for record in history),
        "last": history[-1]["test_metric"],
        "chosen": chosen["test_metric"],
        "chosen_validation": chosen["validation_metric"] if data.validation else None,
        "chosen_epoch": chosen["epoch"],
    }
