"""Images read pixel by pixel, in rows or in a fixed random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from torchmomentum._checks import check_integer
from torchmomentum.experiments.data.batches import Batch, as_sequence, generator, shuffled
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks._metrics import accuracy
from torchmomentum.experiments.tasks._task import Task

OPTIONS = {"permutation_seed": 0, "train_limit": None, "test_limit": None}
SMOKE = {"epochs": 1, "hidden_size": 16, "train_limit": 512, "test_limit": 128}
_EVALUATION_BATCH = 500
_SPLIT = -3  # apart from all seeds, which are not negative


def _pieces(inputs: Tensor, targets: Tensor) -> list[Batch]:
    pairs = zip(inputs.split(_EVALUATION_BATCH), targets.split(_EVALUATION_BATCH), strict=True)
    return [(as_sequence(x), y) for x, y in pairs]


class PixelTask(Task):
    """A task of images read pixel by pixel; a subclass says in which order."""

    permuted: ClassVar[bool] = False  # whether in that of ``permutation_seed``

    def check_options(self, options: Mapping[str, Any]) -> None:
        """See :meth:`Task.check_options`; a ``permutation_seed`` that does nothing is wrong too."""
        check_integer("held_out", options.get("held_out", 0), 0)
        seed, default = options["permutation_seed"], OPTIONS["permutation_seed"]
        where = "with permutation_per_seed" if self.permuted else "where pixels are not permuted"
        if seed != default and (not self.permuted or options.get("permutation_per_seed")):
            raise ValueError(f"permutation_seed must be {default} {where}, got {seed}")


def pixels_task(
    recipe: Training, arrays: tuple[Tensor, Tensor, Tensor, Tensor], held_out: int, permuted: bool
) -> Data:
    """Images of ten classes as sequences of one pixel a step.

    Args:
        recipe: The run's.
        arrays: Pixels ``(N, pixels)`` and labels to train on, and to test on.
        held_out: Training samples that are kept for validation, the same for every seed and model.
        permuted: Whether the pixels come in the order of ``permutation_seed``.

    Raises:
        UsageError: A batch larger than the data, or than what ``held_out`` leaves.
    """
    pixels, labels, test_pixels, test_labels = arrays
    options, most = recipe.task_options, len(pixels) - recipe.batch_size
    if "held_out" in options and held_out > most >= 0:
        raise UsageError(
            f"held_out must be in [0, {most}], the {len(pixels)} training samples less a batch, "
            f"got {held_out}"
        )
    if permuted:
        each = options.get("permutation_per_seed", False)
        drawn = generator(recipe.order_seed if each else options["permutation_seed"])
        order = torch.randperm(pixels.shape[1], generator=drawn)
        pixels, test_pixels = pixels[:, order], test_pixels[:, order]
    mixed = torch.randperm(len(pixels), generator=generator(_SPLIT))
    kept, validation = mixed[held_out:], mixed[:held_out]
    kept, limit = kept[: options["train_limit"]], options["test_limit"]
    if recipe.batch_size > len(kept):
        raise UsageError(
            f"batch_size must be at most the {len(kept)} training samples, got {recipe.batch_size}"
        )
    return Data(
        train=shuffled(pixels[kept], labels[kept], recipe.batch_size, recipe.order_seed),
        validation=_pieces(pixels[validation][:limit], labels[validation][:limit]),
        test=_pieces(test_pixels[:limit], test_labels[:limit]),
        loss=cross_entropy,
        metric=accuracy,
        metric_name="accuracy",
        higher_is_better=True,
        output_size=10,
    )
