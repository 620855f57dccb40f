"""The logs of a run: a file for each program that shows them.

What a log must do is a :class:`~.sink.Sink`; each record is in it once, also after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from torchmomentum.experiments.engine.log.sink import Sink
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.registry import attribute

_HERE = "torchmomentum.experiments.engine.log"
TENSORBOARD = f"{_HERE}.to_tensorboard:TensorBoard"
# by the names of their packages; TensorBoard's is always written
LOGS: Mapping[str, str] = {
    "wandb": f"{_HERE}.to_wandb:WandB",
    "mlflow": f"{_HERE}.to_mlflow:MLflow",
    "trackio": f"{_HERE}.to_trackio:Trackio",
}


def check_logs(names: Iterable[str]) -> None:
    """Rejects a log that is not known, or whose package is missing.

    Raises:
        UsageError: One is.
    """
    for name in names:
        check_name("log", name, LOGS)
        if find_spec(name) is None:
            raise UsageError(f"{name} is missing: pip install {name}")


class Log:
    """The logs of a run. Use it as a context.

    Args:
        recipe: The run's.
        folder: Its folder.
        history: The records that it has, and the logs may miss.
        names: Of :data:`LOGS`.
        writes: Whether this process writes.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        history: Sequence[Mapping[str, float]],
        names: Iterable[str],
        writes: bool,
    ) -> None:
        places = [TENSORBOARD, *(LOGS[name] for name in names)] if writes else []
        self._sinks: list[Sink] = []
        self._held: list[dict[str, int]] = []  # the last step of each name in each
        for place in places:
            self._sinks.append(attribute(place)(recipe, folder))
            self._held.append(dict(self._sinks[-1].last_steps(list(_NAMES))))
        for record in history:
            self.write(record)

    def write(self, record: Mapping[str, float]) -> None:
        """Adds what the logs do not have of a record, with its ``step``."""
        step = int(record["step"])
        for sink, held in zip(self._sinks, self._held, strict=True):
            new = {name: value for name, value in record.items() if held.get(name, -1) < step}
            if new:
                sink.write(new, step)
                held.update(dict.fromkeys(new, step))

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sink in self._sinks:
            sink.close(failed=error is not None)


_NAMES = (
    *("epoch", "step", "train_loss", "train_seconds"),
    *(f"{part}_{what}" for part in ("validation", "test") for what in ("loss", "metric")),
)
