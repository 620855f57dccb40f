"""A batch in parts: one for each process, and of that one for each pass that is accumulated."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from torchmomentum.experiments.data.batches import Batch
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError


def _size_of(inputs: Any, batch_dim: int) -> int:
    """How many samples a batch has."""
    first: Tensor = inputs[0] if isinstance(inputs, tuple) else inputs
    return first.shape[batch_dim]


def _of_samples(value: Tensor, dim: int, which: slice) -> Tensor:
    """Some samples of a tensor; one number for each sample has no other dimension.

    Raises:
        UsageError: It is not of samples.
    """
    if value.dim() == 0:
        raise UsageError(
            "devices and accumulate must be 1 for a task whose state goes on from batch to batch"
        )
    return value[(slice(None),) * min(dim, value.dim() - 1) + (which,)]


def part(inputs: Any, target: Tensor, data: Data, index: int, of: int) -> Batch:
    """Every so manieth sample of a batch.

    Args:
        inputs: A batch's.
        target: Likewise.
        data: Whose batch it is.
        index: Which part, from 0.
        of: How many parts.

    Raises:
        UsageError: There are fewer samples than parts.
    """
    count = _size_of(inputs, data.batch_dim)
    if count < of:
        raise UsageError(f"a batch of {count} cannot be split into {of}: give a larger batch_size")
    which, dim = slice(index, None, of), data.batch_dim
    target = _of_samples(target, dim if data.each_step else 0, which)
    if isinstance(inputs, Tensor):
        return _of_samples(inputs, dim, which), target
    return tuple(_of_samples(each, dim, which) for each in inputs), target
