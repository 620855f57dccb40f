"""Large pictures cropped to one size: at random to train on, the middle to test on."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data.pictures import decode_colors
from torchmomentum.experiments.errors import UsageError

_AREA, _RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a training crop
_TRIES = 10
_LARGER = 256 / 224  # how much larger than its crop a test image is made


def random_crop(width: int, height: int, drawn: random.Random) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a crop of random area and ratio of its sides.

    After ten crops that do not fit it is the middle square.
    """
    for _ in range(_TRIES):
        area = width * height * drawn.uniform(*_AREA)
        ratio = math.exp(drawn.uniform(*map(math.log, _RATIO)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = drawn.randint(0, width - w), drawn.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def middle_crop(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what a test sees of an image."""
    side = min(width, height) * size / round(size * _LARGER)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def decode(source: Path | bytes, size: int, seed: str | None, name: str) -> Tensor:
    """One image as ``(3, size, size)`` uint8.

    Args:
        source: A file, or what is in it.
        size: Pixels of a side.
        seed: Fixes the random crop and mirroring of training; None takes the middle.
        name: What an error calls it.

    Raises:
        UsageError: It is no image, or damaged.
    """
    from PIL import Image

    try:
        colors = decode_colors(source)
    except ValueError as error:
        raise UsageError(f"{name} cannot be decoded: {error}") from error
    drawn = random.Random(seed)
    if seed is None:
        box: tuple[float, float, float, float] = middle_crop(colors.width, colors.height, size)
    else:
        box = random_crop(colors.width, colors.height, drawn)
    colors = colors.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if seed is not None and drawn.random() < 0.5:
        colors = colors.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(colors)).permute(2, 0, 1)  # (3, size, size)
