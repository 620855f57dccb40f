"""A comparison in numbers: each arm's difference from its baseline, and the table of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.statistics import (
    Difference,
    mean_and_std,
    paired_difference,
)
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results, ended, values


def baseline_of(results: Results, arm: Mapping[str, Any]) -> dict[str, Any]:
    """The arm that another is compared with: the first value on all axes, or on the view's."""
    axes = results.view.get("baseline", list(results.axes))
    firsts = {axis: results.axes[axis][0] for axis in axes}
    return {**arm, **firsts}


def pairs(results: Results, arm: Mapping[str, Any]) -> list[tuple[Result, Result]]:
    """The runs of an arm beside the baseline's of the same seed, where both came to their end."""
    others = {run.seed: run for run in ended(results.of(baseline_of(results, arm)))}
    return [(run, others[run.seed]) for run in ended(results.of(arm)) if run.seed in others]


def difference_of(
    results: Results, arm: Mapping[str, Any], measure: Callable[[Result], float]
) -> Difference | None:
    """The paired difference of a measure from the baseline's; None where there is no pair."""
    found = pairs(results, arm)
    if not found or arm == baseline_of(results, arm):
        return None
    ours, theirs = ([measure(run) for run in side] for side in zip(*found, strict=True))
    return paired_difference(ours, theirs)


def difference(results: Results, arm: Mapping[str, Any], key: str) -> Difference | None:
    """:func:`difference_of` one of the runs' values."""

    def value(run: Result) -> float:
        found: float = run.values[key]
        return found

    return difference_of(results, arm, value)


def verdict(results: Results, arm: Mapping[str, Any], key: str) -> str:
    """What may be concluded of an arm, failed and exploded runs included."""
    found, runs = difference(results, arm, key), results.of(arm)
    told = [] if found is None else [found.verdict(bool(results.higher_is_better))]
    lost = words.diverged(runs)
    if lost:
        told.append(lost)
    exploded = sum(run.warning is not None for run in runs)
    if exploded:
        told.append(f"loss exploded: {exploded} of {len(runs)}")
    return " ".join(told)


_MEASURED = ("best", "last", "chosen")


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs = results.of(arm)
    d, paired = difference(results, arm, "chosen"), pairs(results, arm)
    ratios = [a.costs["train_seconds"] / b.costs["train_seconds"] for a, b in paired]
    first = arm == baseline_of(results, arm)
    return [
        words.arm_name(results, arm),
        *(words.spread(values(ended(runs), key)) for key in _MEASURED),
        "baseline" if first else "" if d is None else words.interval(d),
        verdict(results, arm, "chosen"),
        f"{mean_and_std(ratios)[0]:.2f}x" if ratios else "-",
        f"{runs[0].costs['parameters']:,}",
        f"{runs[0].costs['peak_memory_bytes'] / 2**20:.1f} MiB",
    ]


def comparison(results: Results) -> Table:
    """Models beside a baseline: the test metric, its difference, and what it costs."""
    direction = "higher" if results.higher_is_better else "lower"
    baselines = [baseline_of(results, arm) for arm in results.arms()]
    one = all(each == baselines[0] for each in baselines)
    baseline = words.arm_name(results, baselines[0]) if one else "its baseline"
    chosen = (
        "chosen on validation samples"
        if results.has_validation()
        else "chosen, the last without validation"
    )
    caption = (
        f"Test {results.metric} ({direction} is better), mean ± standard deviation over "
        f"{len(results.seeds)} seeds: best over epochs, after the last epoch, and at the epoch "
        f"{chosen}; the latter's paired difference from {baseline}. Training time relative to "
        "it; peak memory of a training step."
    )
    epochs, threads = (
        ", ".join(dict.fromkeys(str(run.recipe[key]) for run in results.runs))
        for key in ("epochs", "threads")
    )
    note = (
        f"Seeds {words.seeds(results)}; {epochs} epochs; {results.jobs} runs at a time of "
        f"{threads} thread(s)"
    )
    head = ["model", *_MEASURED, "difference [95 % interval]", "verdict"]
    rows = [_row(results, arm) for arm in results.arms()]
    return Table([*head, "time", "parameters", "memory"], rows, caption, note)
