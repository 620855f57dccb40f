"""Where runs read and write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str, int, int], None]  # a few words, the steps done, the steps in all


def silent(words: str, done: int, of: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        runs: The folder of runs, each in one of its own.
        data: The data folder.
        offline: Does not download what is missing.
        checkpoint_every: Steps between checkpoints.
    """

    runs: Path
    data: Path = Path()
    offline: bool = False
    checkpoint_every: int = 100
