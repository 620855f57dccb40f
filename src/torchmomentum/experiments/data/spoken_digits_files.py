"""Where the Free Spoken Digit Dataset lies. No torch."""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.data.folder import missing

_NAMES = ("fsdd/free-spoken-digit-dataset.zip", "free-spoken-digit-dataset.zip")
SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset"


def find(folder: Path) -> Path:
    """The zip file.

    Raises:
        UsageError: It is not there.
    """
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    remedy = f"download {SOURCE} as a zip file and place it as {folder / _NAMES[0]}"
    raise missing("the Free Spoken Digit Dataset", folder, remedy, "take another task")


def check_spoken_digits(folder: Path) -> None:
    """Checks that the file is there.

    Raises:
        UsageError: It is not.
    """
    find(folder)
