"""What of a computation is done already, in a file: one that was stopped goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchmomentum.experiments.files import read_json, write_json


class Parts:
    """Finished parts by name.

    Args:
        path: The file; None keeps nothing.
        settings: What the parts depend on: those of other settings are not taken.
        resume: Takes the parts that the file holds.
    """

    def __init__(
        self, path: Path | None = None, settings: dict[str, Any] | None = None, resume: bool = False
    ) -> None:
        self._path, self._settings = path, settings or {}
        self._done: dict[str, Any] = {}
        if path is not None and resume and path.exists():
            held = read_json(path)
            if held["settings"] == self._settings:
                self._done = held["done"]

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """A part, plain values, computed where it is not there yet."""
        if name not in self._done:
            self._done[name] = compute()
            if self._path is not None:
                write_json(self._path, {"settings": self._settings, "done": self._done})
        return self._done[name]
