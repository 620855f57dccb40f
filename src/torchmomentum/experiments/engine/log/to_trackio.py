"""trackio, in its local folder (``TRACKIO_DIR``) or the Space that its own variables name."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.engine.log.sink import PROJECT, Sink
from torchmomentum.experiments.recipe import Recipe


class Trackio(Sink):
    """A run with the name of the run's folder."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):  # it advertises its commands
            self._run: Any = trackio.init(
                os.environ.get("TRACKIO_PROJECT", PROJECT),
                name=recipe.folder,
                config=recipe.to_dict(),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def last_steps(self, names: Sequence[str]) -> Mapping[str, int]:
        """See :meth:`Sink.last_steps`."""
        return dict.fromkeys(names, self._run._next_step - 1)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :meth:`Sink.write`."""
        numbers = {name: value for name, value in values.items() if name != "step"}
        self._run.log(numbers, step=step)  # which has that name to itself

    def close(self, failed: bool) -> None:
        """See :meth:`Sink.close`."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()
