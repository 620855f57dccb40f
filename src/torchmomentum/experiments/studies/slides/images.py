"""The images of the logistic and the Bayesian figure, as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchmomentum.experiments.data.digits import load_digits
from torchmomentum.experiments.data.mnist import load_mnist
from torchmomentum.experiments.errors import check_name
from torchmomentum.experiments.studies.slides.recipes import IMAGES

_TEST = 450  # of the digits
Array = NDArray[np.float64]
Data = tuple[Array, Any, Array, Any]  # images and labels to train on, and to test on


def load(name: str, folder: Path, *, offline: bool = False) -> Data:
    """Pixels in [0, 1], ``(N, pixels)``, and labels ``(N,)``.

    Args:
        name: ``digits``, which scikit-learn ships, or ``mnist``.
        folder: The data folder.
        offline: Does not download what is missing.

    Raises:
        UsageError: Another name, or data that is missing or damaged.
    """
    if check_name("data", name, IMAGES) == "digits":
        parts = load_digits(_TEST)
    else:
        parts = load_mnist(folder, offline=offline)
    train, labels, test, test_labels = (x.numpy() for x in parts)
    return train.astype(float), labels, test.astype(float), test_labels
