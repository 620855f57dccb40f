"""Time to accuracy: how long each model trains until it is as good as the baseline becomes.

Table 16 of the MomentumRNN paper, for any task, with seeds. The target is on validation samples.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def _best(history: Sequence[Mapping[str, float]], higher: bool) -> float:
    values = [record["validation_metric"] for record in history]
    return max(values) if higher else min(values)


def reached(
    history: Sequence[Mapping[str, float]], target: float, higher: bool
) -> dict[str, float] | None:
    """The first epoch that is as good as the target, with the seconds trained up to it."""
    for record in history:
        value = record["validation_metric"]
        if value >= target if higher else value <= target:
            return {"epochs": record["epoch"], "seconds": record["train_seconds"]}
    return None


def time_to_accuracy(results: Mapping[str, Any], target: float | None = None) -> dict[str, Any]:
    """What a comparison says about it.

    Args:
        results: Of :func:`torchmomentum.experiments.compare.compare`; the first model is the
            baseline.
        target: The metric to reach on validation samples; by default what the baseline reaches in
            each of its seeds.

    Returns:
        The target, and for each model when each seed reached it, None where it did not, with the
        medians where all did and their ratio to the baseline's.
    """
    higher, models = results["higher_is_better"], results["models"]
    runs = {
        name: [run for run in results["runs"] if run["config"]["model"] == name] for name in models
    }
    if target is None:
        reach = [_best(run["history"], higher) for run in runs[models[0]]]
        target = min(reach) if higher else max(reach)
    layers: dict[str, dict[str, Any]] = {}
    for name in models:
        found = [reached(run["history"], target, higher) for run in runs[name]]
        done = [x for x in found if x is not None]
        layers[name] = {"seeds": found, "reached": len(done)}
        for key in ("epochs", "seconds"):
            whole = len(done) == len(found)
            layers[name][key] = statistics.median(x[key] for x in done) if whole else None
    first = layers[models[0]]["seconds"]
    for values in layers.values():
        known = values["seconds"] is not None and first
        values["ratio"] = values["seconds"] / first if known else None
    return {
        "task": results["task"],
        "metric": results["metric"],
        "target": target,
        "layers": layers,
    }
