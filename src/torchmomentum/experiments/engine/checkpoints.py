"""Checkpoints of a training: whole or not there, the last two kept, a damaged one passed over."""

from __future__ import annotations

import io
import logging
import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_bytes

_KEPT = 2  # so that a damaged one has another before it
_NAME = re.compile(r"step-(\d+)\.ckpt")
_log = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """A checkpoint that could be read."""

    path: Path
    values: Any


class _Damaged(Exception):
    """A file that cannot be read."""


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the newest first."""
    found = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(found, reverse=True)


def refused(path: Path, why: str) -> UsageError:
    """The error of a checkpoint that is whole and cannot be gone on from."""
    return UsageError(
        f"{path} is not a checkpoint of this run: {why}; remove it, or its folder to begin anew"
    )


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):  # the file may be right
        raise
    except Exception as error:
        words = str(error)
        if isinstance(error, pickle.UnpicklingError) and re.search(
            "Unsupported (global|class)", words
        ):
            raise refused(path, "it holds more than tensors and plain values") from error
        raise _Damaged from error


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest readable checkpoint, None where there is none.

    Damaged ones are told in one line.

    Raises:
        UsageError: A file holds what no checkpoint does.
    """
    damaged, found = list[str](), None
    for path in checkpoints(folder):
        try:
            found = Checkpoint(path, _read(path))
            break
        except _Damaged:
            damaged.append(path.name)
    if damaged:
        how = "the run begins anew" if found is None else f"the run goes on from {found.path.name}"
        _log.warning("%s: damaged %s; %s", folder, ", ".join(damaged), how)
    return found


def save_checkpoint(folder: Path, step: int, values: dict[str, Any]) -> None:
    """Writes a checkpoint, and removes those that are no longer needed.

    Those of later steps are damaged: the run has gone back behind them.
    """
    # not to the file at once: on a full disk torch.save hides what is wrong
    content = io.BytesIO()
    torch.save(values, content)
    path = folder / f"step-{step:09d}.ckpt"
    write_bytes(path, content.getvalue())
    found = checkpoints(folder)
    at = found.index(path)
    for old in (*found[:at], *found[at + _KEPT :]):
        old.unlink()
