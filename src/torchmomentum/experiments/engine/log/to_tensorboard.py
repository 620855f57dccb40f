"""TensorBoard's files, in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchmomentum.experiments.engine.log.sink import Sink
from torchmomentum.experiments.recipe import Recipe

LOG = "tensorboard"  # the folder of the log in a run's own


class TensorBoard(Sink):
    """A file of events for each process that worked on the run."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / LOG
        self._steps = self._read()
        self._writer = SummaryWriter(str(self._folder))

    def _read(self) -> dict[str, int]:
        if not any(self._folder.glob("events.*")):
            return {}  # its reader is slow to import
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(self._folder))
        found.Reload()
        return {name: found.Scalars(name)[-1].step for name in found.Tags()["scalars"]}

    def last_steps(self, names: Sequence[str]) -> Mapping[str, int]:
        """See :meth:`Sink.last_steps`."""
        return self._steps

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :meth:`Sink.write`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # so that a full disk is told here, not by a thread of its own

    def close(self, failed: bool) -> None:
        """See :meth:`Sink.close`."""
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
