"""CIFAR-10 encoded again as JPEG: two files, ``cifar10/train.npz`` and ``test.npz``.

Each has the arrays ``jpeg`` (all encoded images concatenated), ``offsets`` (where each
begins, and the end) and ``labels``.
"""

from __future__ import annotations

import io
import itertools
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torchmomentum.experiments.data.cifar_files import JPEG_CLASSES, find_jpeg
from torchmomentum.experiments.data.damage import WholeFile, read_member, told
from torchmomentum.experiments.data.pictures import decode_colors

_SIDE = 32  # pixels
_PACKED = 16  # times the file's size an array may have, where it was packed


def _numbers(archive: zipfile.ZipFile, name: str, at_most: int) -> np.ndarray:
    """An array of whole numbers of one dimension, whose header says what is there.

    NumPy's own reader makes room for whatever the header says.

    Raises:
        ValueError: It is none, or others of NumPy's and zipfile's errors.
    """
    content = read_member(archive, archive.getinfo(f"{name}.npy"), at_most)
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} has another version of NumPy's format")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of headers that Python 2 wrote
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    if kind.kind not in "iu" or len(shape) != 1:
        raise ValueError(f"{name} must be a row of whole numbers, got {kind} of shape {shape}")
    if shape[0] * kind.itemsize != len(content) - file.tell():
        raise ValueError(f"{name} has another length than {shape[0]}")
    return np.frombuffer(content, kind, offset=file.tell())


def load_encoded(folder: Path, part: str) -> tuple[list[bytes], list[int]]:
    """The encoded images and their labels.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: The file is missing or damaged.
    """
    path = find_jpeg(folder, part)
    with told(path), WholeFile(path) as stream, zipfile.ZipFile(stream) as archive:
        at_most = _PACKED * path.stat().st_size
        arrays = (_numbers(archive, name, at_most) for name in ("jpeg", "offsets", "labels"))
        jpeg, offsets, labels = arrays
        if jpeg.dtype != np.uint8:
            raise ValueError(f"jpeg must be of unsigned bytes, got {jpeg.dtype}")
        if len(labels) != len(offsets) - 1:
            raise ValueError(f"{len(offsets) - 1} images, {len(labels)} labels")
        encoded, places, classes = jpeg.tobytes(), offsets.tolist(), labels.tolist()
        if places != sorted(places) or (places[0], places[-1]) != (0, len(encoded)):
            raise ValueError(f"offsets do not rise from 0 to {len(encoded)}")
        if not classes or not all(0 <= label < JPEG_CLASSES for label in classes):
            raise ValueError(f"a label is not in [0, {JPEG_CLASSES})")
    return [encoded[a:b] for a, b in itertools.pairwise(places)], classes


def decode_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """The decoded images ``(N, 3, 32, 32)``, uint8, and their labels ``(N,)``.

    Args:
        folder: The data folder.
        part: ``train`` or ``test``.

    Raises:
        UsageError: The file is missing or damaged.
    """
    encoded, labels = load_encoded(folder, part)
    with told(find_jpeg(folder, part)):
        images = [np.asarray(decode_colors(content, _SIDE**2)) for content in encoded]
        if any(image.shape != (_SIDE, _SIDE, 3) for image in images):
            raise ValueError(f"an image is not of {_SIDE} x {_SIDE} pixels")
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(labels)  # (N, 3, 32, 32), (N,)
