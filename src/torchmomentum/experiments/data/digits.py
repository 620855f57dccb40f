"""The 1,797 hand-written digits of 8x8 pixels that scikit-learn ships."""

from __future__ import annotations

import torch
from torch import Tensor

_TEST = 360  # samples, a fifth as is usual with this set


def load_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, test images and labels, split once and for all.

    Returns:
        Pixels in [0, 1], ``(1437, 64)``, labels ``(1437,)``, and the same for the 360 of the test.
    """
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    pixels, labels = load(return_X_y=True)
    parts = train_test_split(pixels / 16, labels, test_size=_TEST, random_state=0, stratify=labels)
    train, test, train_labels, test_labels = (torch.as_tensor(part) for part in parts)
    return train.float(), train_labels.long(), test.float(), test_labels.long()
