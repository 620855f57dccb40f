"""How fast trainings converge: the mean of the training loss over the epochs, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchmomentum.experiments.published.momentumrnn import LAST_LOSS
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.judgement import baseline_of, difference_of
from torchmomentum.experiments.report.table import Table, filled
from torchmomentum.experiments.result import Result, Results, ended


def mean_loss(run: Result) -> float:
    """The mean of the training loss over the epochs: how fast it falls, in one number."""
    losses: Sequence[float] = run.curves["train_loss"]
    return sum(losses) / len(losses)


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs, d = ended(results.of(arm)), difference_of(results, arm, mean_loss)
    printed = LAST_LOSS.get((arm["task"], arm.get("length", 0), arm["model"]))
    return [
        *(str(arm[axis]) for axis in results.axes),
        words.spread([mean_loss(run) for run in runs]),
        "" if printed is None else f"{printed:g}",
        words.spread([run.curves["train_loss"][-1] for run in runs]),
        words.spread([run.curves["test_loss"][-1] for run in runs]),
        "baseline" if arm == baseline_of(results, arm) else "-" if d is None else words.interval(d),
        words.diverged(results.of(arm)),
    ]


def convergence(results: Results) -> Table:
    """How fast the training loss falls, and where it and the test loss end."""
    caption = (
        f"{results.title}: mean ± standard deviation over {words.seed_count(results)}. The "
        "difference of the mean of the training loss over all epochs is from the first model of "
        "the same task and size, with its 95 % interval, paired by seed."
    )
    if "note" in results.view:
        caption += f" Scale {results.scale}: {results.view['note']}."
    head = [*results.axes, "training loss, mean", "training loss, last, published"]
    head += ["training loss, last", "test loss, last", "difference [95 % interval]", "note"]
    rows = [_row(results, arm) for arm in results.arms()]
    return Table(*filled(head, rows), caption, f"Seeds {words.seeds(results)}")
