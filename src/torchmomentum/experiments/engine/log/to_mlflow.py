"""MLflow, wherever ``MLFLOW_TRACKING_URI`` says."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.engine.log.sink import PROJECT, Sink
from torchmomentum.experiments.recipe import Recipe

_TAG = "torchmomentum.run"
_LONGEST = 500  # characters of a parameter


class MLflow(Sink):
    """A run with a tag that is the recipe's key."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        held = self._client.get_experiment_by_name(name)
        where = self._client.create_experiment(name) if held is None else held.experiment_id
        found = self._client.search_runs([where], f"tags.`{_TAG}` = '{recipe.key}'")
        if found:
            self._run = found[0].info.run_id
            self._client.set_terminated(self._run, "RUNNING")
            return
        made = self._client.create_run(where, tags={_TAG: recipe.key}, run_name=recipe.folder)
        self._run = made.info.run_id
        for key, value in recipe.to_dict().items():
            self._client.log_param(self._run, key, str(value)[:_LONGEST])

    def last_steps(self, names: Sequence[str]) -> Mapping[str, int]:
        """See :meth:`Sink.last_steps`."""
        histories = {name: self._client.get_metric_history(self._run, name) for name in names}
        return {name: max(m.step for m in held) for name, held in histories.items() if held}

    def write(self, values: Mapping[str, float], step: int) -> None:
        """See :meth:`Sink.write`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, failed: bool) -> None:
        """See :meth:`Sink.close`."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")
