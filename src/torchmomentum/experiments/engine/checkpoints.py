"""Checkpoints of a training: whole or not there, the last two kept, a damaged one passed over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from torchmomentum.experiments.files import write_with

_KEPT = 2  # so that a damaged one has another before it
_NAME = re.compile(r"step-(\d+)\.ckpt")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the newest first."""
    found = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(found, reverse=True)


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """What the newest readable checkpoint holds, None where there is none."""
    for path in checkpoints(folder):
        try:
            held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the one before may be right
            continue
        return held
    return None


def save_checkpoint(folder: Path, step: int, values: dict[str, Any]) -> None:
    """Writes a checkpoint, and removes those that are no longer needed."""
    path = folder / f"step-{step:09d}.ckpt"
    write_with(path, lambda temporary: torch.save(values, temporary))
    for old in checkpoints(folder)[_KEPT:]:
        old.unlink()
