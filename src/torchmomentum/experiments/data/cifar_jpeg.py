"""CIFAR-10 encoded again as JPEG: two files, ``cifar10/train.npz`` and ``test.npz``.

Each has the arrays ``jpeg`` (all encoded images concatenated), ``offsets`` (where each
begins, and the end) and ``labels``.
"""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data.cifar_files import find_jpeg
from torchmomentum.experiments.data.pictures import decode_colors
from torchmomentum.experiments.errors import UsageError


def load_encoded(folder: Path, part: str) -> tuple[list[bytes], list[int]]:
    """The encoded images and their labels.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: The file is missing or damaged.
    """
    path = find_jpeg(folder, part)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            encoded, offsets = file["jpeg"].tobytes(), file["offsets"].tolist()
            labels = file["labels"].astype(np.int64).tolist()
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if len(labels) != len(offsets) - 1:
        raise UsageError(f"{path} is damaged: {len(offsets) - 1} images, {len(labels)} labels")
    return [encoded[a:b] for a, b in itertools.pairwise(offsets)], labels


def decode_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """The decoded images ``(N, 3, 32, 32)``, uint8, and their labels ``(N,)``.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: The file is missing or damaged.
    """
    encoded, labels = load_encoded(folder, part)
    try:
        images = [np.asarray(decode_colors(content)) for content in encoded]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    except ValueError as error:
        raise UsageError(f"{find_jpeg(folder, part)} is damaged: {error}") from error
    return pixels, torch.tensor(labels)  # (N, 3, 32, 32), (N,)
