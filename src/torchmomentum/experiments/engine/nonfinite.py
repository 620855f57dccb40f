"""What becomes of a step whose loss or gradient is not finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from torchmomentum.experiments.engine.sharded import whole

MOST_SKIPPED = 100  # steps in a row: more are no accident


class Diverged(Exception):
    """A loss is no longer finite."""


def nonfinite_parameter(model: nn.Module) -> str | None:
    """The name of the first parameter with a value that is not finite; None for none."""
    found = (name for name, p in model.named_parameters() if not whole(p).isfinite().all())
    return next(found, None)


def diverged(
    model: nn.Module, loss: float, step: int, epoch: int, before: float | None
) -> Diverged:
    """Says where a training diverged.

    Args:
        model: As it was before the step.
        loss: The step's.
        step: Which one, from 1.
        epoch: Likewise.
        before: The loss of the step before, which was finite; None where there was none.
    """
    name = nonfinite_parameter(model)
    parts = [f"training diverged at step {step} (epoch {epoch}): loss {loss:g}"]
    parts.append("all parameters are finite" if name is None else f"{name} is not finite")
    if before is not None:
        parts.append(f"the last finite loss was {before:.4g} at step {step - 1}")
    parts.append("try a smaller --lr or --step-size")
    return Diverged("; ".join(parts))


class Skipping:
    """Undoes the steps whose loss or gradient is not finite, and counts them.

    Attributes:
        count: Skipped steps of the run.
        in_epoch: Of the epoch that is under way.
        in_row: Since the last one that was made.
    """

    def __init__(self) -> None:
        self.count = self.in_epoch = self.in_row = 0
        self._kept: dict[str, Any] = {}

    def state_dict(self) -> list[int]:
        """The counts, for a checkpoint."""
        return [self.count, self.in_epoch, self.in_row]

    def load_state_dict(self, counts: list[int]) -> None:
        """See :meth:`state_dict`."""
        self.count, self.in_epoch, self.in_row = counts

    def keep(self, model: nn.Module) -> None:
        """Remembers what a forward changes: statistics, and states that go on."""
        own = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        state = model.state_dict()
        self._kept = {name: copy.deepcopy(v) for name, v in state.items() if name not in own}

    def made(self) -> None:
        """A step was made."""
        self.in_row = 0

    def skip(self, model: nn.Module, step: int, epoch: int) -> None:
        """A step was not made: the model is as :meth:`keep` found it.

        Raises:
            Diverged: So were too many before it.
        """
        if self._kept:
            model.load_state_dict(self._kept, strict=False)
        self.count, self.in_epoch, self.in_row = self.count + 1, self.in_epoch + 1, self.in_row + 1
        if self.in_row > MOST_SKIPPED:
            raise Diverged(
                f"training diverged at step {step} (epoch {epoch}): {self.in_row} steps in a row "
                "had a loss or a gradient that is not finite; try a smaller --lr or --step-size"
            )


def all_finite(loss: float, gradients: Iterable[Tensor | None]) -> bool:
    """Whether a loss and all gradients are finite."""
    return math.isfinite(loss) and all(bool(g.isfinite().all()) for g in gradients if g is not None)
