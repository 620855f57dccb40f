"""The TensorBoard log of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


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
