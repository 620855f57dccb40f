"""The images of the logistic and the Bayesian figure, as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchmomentum.experiments.errors import check_name
from torchmomentum.experiments.studies.slides.recipes import IMAGES

Array = NDArray[np.float64]
Data = tuple[Array, Any, Array, Any]  # images and labels to train on, and to test on


def _digits() -> Data:
    """Scikit-learn's 8x8 digits: 1,347 to train on, 450 to test on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16.0, y, test_size=450, random_state=0, stratify=y)
    train, test, train_labels, test_labels = parts
    return train, train_labels, test, test_labels


def load(name: str, folder: Path, *, offline: bool = False) -> Data:
    """Pixels in [0, 1], ``(N, pixels)``, and labels ``(N,)``.

    Args:
        name: ``digits``, which scikit-learn ships, or ``mnist``.
        folder: The data folder.
        offline: Does not download what is missing.

    Raises:
        UsageError: Another name, or data that is missing or damaged.
    """
    from torchmomentum.experiments.data.mnist import load_mnist

    if check_name("data", name, IMAGES) == "digits":
        return _digits()
    train, labels, test, test_labels = (x.numpy() for x in load_mnist(folder, offline=offline))
    return train.astype(float), labels, test.astype(float), test_labels
