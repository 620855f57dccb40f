"""The 1,797 hand-written digits of 8x8 pixels that scikit-learn ships."""

from __future__ import annotations

import torch
from torch import Tensor

_COUNT, _CLASSES = 1797, 10


def load_digits(test: int = 360) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, test images and labels: the same split each time.

    Args:
        test: Samples to test on, 10 to 1,787; each class has its share of them.

    Returns:
        Pixels in [0, 1], ``(1797 - test, 64)``, labels ``(1797 - test,)``, and the same for the
        test samples.

    Raises:
        ValueError: A number of test samples out of its range.

    Example:
        >>> from torchmomentum.experiments.data.digits import load_digits
        >>> [tuple(part.shape) for part in load_digits(test=450)]
        [(1347, 64), (1347,), (450, 64), (450,)]
    """
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    if not _CLASSES <= test <= _COUNT - _CLASSES:
        raise ValueError(f"test must be in [{_CLASSES}, {_COUNT - _CLASSES}], got {test}")
    pixels, labels = load(return_X_y=True)
    parts = train_test_split(pixels / 16, labels, test_size=test, random_state=0, stratify=labels)
    train, tested, train_labels, test_labels = (torch.as_tensor(part) for part in parts)
    return train.float(), train_labels.long(), tested.float(), test_labels.long()
