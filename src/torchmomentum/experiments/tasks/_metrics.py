"""Losses and metrics that tasks share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # the class of a step that does not count, PyTorch's default


def class_loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of ``(..., classes)``, whatever comes before: samples, or steps of samples."""
    return cross_entropy(output.flatten(0, -2), target.flatten(), ignore_index=IGNORED)


def counted(target: Tensor) -> int:
    """How many frames of ``(T, B, N)`` count: those that are not NaN."""
    return int((~target[..., 0].isnan()).sum())


def masked_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared error over the frames of ``(T, B, N)`` that count."""
    count = ~target.isnan()
    return torch.where(count, output - target, 0.0).square().sum() / count.sum()


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """The fraction of the samples whose class is the likeliest one."""
    return (output.argmax(-1) == target)[target != IGNORED].float().mean()


def error_rate(output: Tensor, target: Tensor) -> Tensor:
    """The fraction of the samples whose class is not the likeliest one."""
    return (output.argmax(-1) != target).float().mean()
