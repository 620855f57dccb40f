"""The TensorBoard log of a run, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

LOG = "tensorboard"  # the folder of the log in a run's own


class Log:
    """Writes numbers by step. Use it as a context.

    Args:
        folder: Where the log lies.
        step: What is done: records after it, of an attempt that was killed, are dropped.
        writes: Whether this process writes.
    """

    def __init__(self, folder: Path, step: int, writes: bool) -> None:
        self._writer: Any = None
        if writes:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, record: Mapping[str, float]) -> None:
        """Adds a record, with its ``step``."""
        if self._writer is not None:
            for key, value in record.items():
                self._writer.add_scalar(key, value, int(record["step"]))
            self._writer.flush()  # before the checkpoint that has the record done

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def read_log(folder: Path) -> dict[str, list[float]]:
    """The columns of a log as far as it has come; empty where there is none.

    Args:
        folder: Where the log lies.
    """
    if not folder.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={SCALARS: 0})  # all of them
    found.Reload()
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()[SCALARS]}
    # a record is whole once its last number is there
    length = min(map(len, scalars.values()), default=0)
    return {tag: [event.value for event in each[:length]] for tag, each in scalars.items()}
