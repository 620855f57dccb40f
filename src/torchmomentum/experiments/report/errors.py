"""The test errors of the image figures, by optimizer, depth and epochs."""

from __future__ import annotations

from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.judgement import Judged, judged
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


def _difference(each: Judged) -> str:
    d = each.difference
    if d is None:
        return "baseline" if each.is_baseline else "-"
    told = words.interval(d, _signed)
    return told if d.low is None else f"{told}, {each.verdict}"


def _row(results: Results, each: Judged) -> list[str]:
    arm, runs = each.arm, results.of(each.arm)
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
        _difference(each),
        "" if each.p is None else f"{each.p:.2g}",
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
    training; the verdict is by Student's p, corrected by Holm's method over all rows. The published
    error stands beside where there is one.
    """
    first = results.runs[0].recipe
    limit = first["task_options"]["train_limit"]
    images = "all training images" if limit is None else f"{limit:,} training images"
    jpeg = first["task"].endswith(_JPEG)
    encoded = " (JPEG-encoded again, so the pixels differ from CIFAR-10's)" if jpeg else ""
    caption = (
        f"{heading(results)}{encoded}; scale {results.scale}: {images}, batch "
        f"{first['batch_size']}, learning rate {first['optimizer_options']['lr']:g}, "
        f"{first['precision']}; steps between restarts: {_restarts(results)}. "
        "Verdicts are on the last error, by Student's p, corrected by Holm's method over all rows."
    )
    threads = words.counted(first["threads"], "thread")
    note = f"Seeds {words.seeds(results)}, mean ± standard deviation; {threads} a run"
    head = ["optimizer", "depth", "epochs", "last error, %", "best error, %"]
    head += ["difference from SGD [95 % interval]", "p, Holm", "seconds of training"]
    rows = [_row(results, each) for each in judged(results, "last")]
    published = [_published(results, arm) for arm in results.arms()]
    if set(published) != {"-"}:
        head.append("published, %")
        rows = [[*row, cell] for row, cell in zip(rows, published, strict=True)]
    return Table(head, rows, caption, note)
