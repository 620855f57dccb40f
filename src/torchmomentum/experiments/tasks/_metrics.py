"""Losses and metrics that tasks share."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # the class of a step that does not count, PyTorch's default


def class_loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of ``(..., classes)``, whatever comes before: samples, or steps of samples."""
    return cross_entropy(output.flatten(0, -2), target.flatten(), ignore_index=IGNORED)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """The fraction of the samples whose class is the likeliest one."""
    return (output.argmax(-1) == target)[target != IGNORED].float().mean()


def error_rate(output: Tensor, target: Tensor) -> Tensor:
    """The fraction of the samples whose class is not the likeliest one."""
    return (output.argmax(-1) != target).float().mean()
