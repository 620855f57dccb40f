"""The test errors of the image figures, by optimizer, depth and epochs."""

from __future__ import annotations

from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.judgement import baseline_of, difference
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results, ended, values

NAMES = {"sgd": "SGD", "srsgd-linear": "SRSGD, linear", "srsgd-exponential": "SRSGD, exponential"}
_JPEG = "cifar10-jpeg"


def percent(runs: list[Result], key: str) -> list[float]:
    """An error of each run that came to its end, in percent."""
    return [100 * value for value in values(ended(runs), key)]


def _two(value: float) -> str:
    return f"{value:.2f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"


def _difference(results: Results, arm: dict[str, Any]) -> str:
    if arm == baseline_of(results, arm):
        return "baseline"
    d = difference(results, arm, "last")
    if d is None:
        return "-"
    told = words.interval(d, _signed)
    return told if d.low is None else f"{told}, {d.verdict(higher_is_better=False)}"


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs = results.of(arm)
    name, lost = NAMES[arm["optimizer"]], words.diverged(runs)
    if lost:
        name += f" ({lost})"
    seconds = [run.costs["train_seconds"] for run in runs]
    return [
        name,
        str(arm["depth"]),
        str(arm["epochs"]),
        words.spread(percent(runs, "last"), _two),
        words.spread(percent(runs, "best"), _two),
        _difference(results, arm),
        f"{sum(seconds) / len(seconds):.0f}",
    ]


def heading(results: Results) -> str:
    """What was trained, and on which pictures."""
    task, recipe = results.runs[0].recipe["task"], results.view["recipe"]
    pictures = _JPEG if task.endswith(_JPEG) else task
    found = f"{results.title} on {pictures}"
    return (
        found
        if pictures in (recipe, f"{recipe}-jpeg")
        else f"{found}, which stands in for {recipe}"
    )


def _restarts(results: Results) -> str:
    found = {run.arm["optimizer"]: run.recipe["schedule"].get("restarts") for run in results.runs}
    shown = [f"{NAMES[k]}: {', '.join(map(str, v))}" for k, v in found.items() if v]
    return "; ".join(shown)


def _published(results: Results, arm: dict[str, Any]) -> str:
    """The published error of an arm, with its deviation where there is one."""
    for which, mean, deviation in results.view.get("published", ()):
        if which == arm:
            return words.printed(mean, deviation)
    return "-"


def errors(results: Results) -> Table:
    """The last and the best test error, and the difference from SGD's.

    A difference is that of the last errors, seed by seed, from SGD of the same depth in its longest
    training. The published error stands beside where there is one.
    """
    first = results.runs[0].recipe
    limit = first["task_options"]["train_limit"]
    images = "all training images" if limit is None else f"{limit:,} training images"
    jpeg = first["task"].endswith(_JPEG)
    encoded = " (JPEG-encoded again, so the pixels differ from CIFAR-10's)" if jpeg else ""
    caption = (
        f"{heading(results)}{encoded}; scale {results.scale}: {images}, batch "
        f"{first['batch_size']}, learning rate {first['optimizer_options']['lr']:g}, "
        f"{first['precision']}; steps between restarts: {_restarts(results)}."
    )
    threads = words.counted(first["threads"], "thread")
    note = f"Seeds {words.seeds(results)}, mean ± standard deviation; {threads} a run"
    head = ["optimizer", "depth", "epochs", "last error, %", "best error, %"]
    head += ["difference from SGD [95 % interval]", "seconds of training"]
    rows = [_row(results, arm) for arm in results.arms()]
    published = [_published(results, arm) for arm in results.arms()]
    if set(published) != {"-"}:
        head.append("published, %")
        rows = [[*row, cell] for row, cell in zip(rows, published, strict=True)]
    return Table(head, rows, caption, note)
