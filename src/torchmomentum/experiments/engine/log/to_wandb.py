"""Weights & Biases, on its server or offline (``WANDB_MODE=offline``) in the run's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.engine.log.sink import PROJECT, Sink
from torchmomentum.experiments.recipe import Recipe


class WandB(Sink):
    """A run whose identifier is the recipe's key."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        import wandb

        if os.environ.get("WANDB_MODE") == "offline":
            _forget(folder)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=recipe.folder,
            id=recipe.key,
            resume="allow",
            dir=folder,
            config=recipe.to_dict(),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def last_steps(self, names: Sequence[str]) -> Mapping[str, int]:
        """See :meth:`Sink.last_steps`."""
        return dict.fromkeys(names, self._run.step - 1) if self._run.resumed else {}

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :meth:`Sink.write`."""
        self._run.log(dict(values), step=step, commit=True)

    def close(self, failed: bool) -> None:
        """See :meth:`Sink.close`."""
        self._run.finish(exit_code=int(failed))


def _forget(folder: Path) -> None:
    """Removes what was logged offline and not sent: nobody can ask it for its last step."""
    for path in folder.glob("wandb/offline-run-*"):
        if not any(path.glob("*.synced")):
            shutil.rmtree(path)
