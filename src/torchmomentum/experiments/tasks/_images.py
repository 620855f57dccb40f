"""What the image tasks share: their recipe, and the form of their data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.nn.functional import cross_entropy

from torchmomentum.experiments.data.batches import Batch, BatchStream
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.tasks._metrics import error_rate

OPTIONS: dict[str, Any] = {"train_limit": None, "test_limit": None}


def image_data(train: BatchStream, test: Iterable[Batch], classes: int) -> Data:
    """Images of so many classes, the last epoch being the one to report."""
    return Data(
        train=train,
        validation=[],
        test=test,
        loss=cross_entropy,
        metric=error_rate,
        metric_name="error",
        higher_is_better=False,
        input_size=3,
        output_size=classes,
        batch_dim=0,
    )
