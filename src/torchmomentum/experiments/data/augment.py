"""What is done to a batch of small images before a network sees it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

_PADDING = 4
Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
# of each colour its mean and standard deviation, as the released settings have them
CIFAR: Statistics = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalize(images: Tensor, statistics: Statistics = CIFAR) -> Tensor:
    """``(B, 3, H, W)`` uint8 to float32, channels last: each colour by its mean and deviation.

    Args:
        images: Of any device.
        statistics: Mean and standard deviation of each colour over the training images, of [0, 1].
    """
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in statistics)
    scaled = images.float().div_(255).sub_(mean).div_(std)
    return scaled.contiguous(memory_format=torch.channels_last)


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pads by 4 zeros, crops at random to the old size, and mirrors with probability one half.

    Args:
        images: ``(B, 3, H, W)`` uint8, on any device.
        generator: Of the CPU: the same draws on every device.
    """
    count, channels, height, width = images.shape
    draws = torch.randint(0, 2 * _PADDING + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = draws[0] + torch.arange(height)  # (B, H)
    columns = torch.arange(width).expand(count, -1)
    columns = draws[1] + torch.where(mirrored, width - 1 - columns, columns)  # (B, W)
    wide = pad(images, [_PADDING] * 4)
    rows, columns = rows.to(images.device), columns.to(images.device)
    each = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return wide[each, channel, rows[:, None, :, None], columns[:, None, None, :]]  # (B, 3, H, W)
