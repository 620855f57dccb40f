"""Where runs read and write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


class Tell:
    """Is told how far a run is: a few words, the steps done, the steps in all.

    Args:
        at: Told the same; None for nobody.
    """

    def __init__(self, at: Callable[[str, int, int], None] | None = None) -> None:
        self._at = at

    def __call__(self, words: str, done: int, of: int) -> None:
        """Passes it on."""
        if self._at is not None:
            self._at(words, done, of)

    def recorded(self, record: Mapping[str, float]) -> None:
        """Is told what a training has reached; what it raises ends the run, which may go on later.

        Args:
            record: Of the epoch: ``epoch``, ``step``, losses and metrics.
        """


silent = Tell()


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        runs: The folder of runs, each in one of its own.
        data: The data folder.
        offline: Does not download what is missing.
        checkpoint_every: Steps between checkpoints.
        logs: What runs are logged to besides TensorBoard, see :data:`~.log.LOGS`.
        resume: Goes on from what another number of devices began, too.
    """

    runs: Path
    data: Path = Path()
    offline: bool = False
    checkpoint_every: int = 100
    resume: bool = False
    logs: tuple[str, ...] = ()
