"""How fast trainings converge: the mean of the training loss over the epochs, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.beside import verdict
from torchmomentum.experiments.report.judgement import baseline_of, difference_of
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results, ended


def _mean(run: Result) -> float:
    losses: Sequence[float] = run.curves["train_loss"]
    return sum(losses) / len(losses)


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs, d = ended(results.of(arm)), difference_of(results, arm, _mean)
    faster = arm["model"] in results.view["faster"].get(arm["task"], ())
    said = verdict(d, -1.0 if faster else None, False, ("faster", "slower"))
    lost = words.diverged(results.of(arm))
    if lost:
        said = f"{said} ({lost})".strip()
    return [
        *(str(arm[axis]) for axis in results.axes),
        words.spread([_mean(run) for run in runs]),
        words.spread([run.curves["train_loss"][-1] for run in runs]),
        words.spread([run.curves["test_loss"][-1] for run in runs]),
        "baseline" if arm == baseline_of(results, arm) else "-" if d is None else words.interval(d),
        "faster" if faster else "",
        said,
    ]


def convergence(results: Results) -> Table:
    """Losses, and whether what the paper calls faster is faster here."""
    caption = (
        f"{results.title}: mean ± standard deviation over {words.seed_count(results)}. Faster "
        "means a lower mean of the training loss over all epochs; its difference is from the first "
        "model of the same task and size, with its 95 % interval, paired by seed."
    )
    if "note" in results.view:
        caption += f" Scale {results.scale}: {results.view['note']}."
    head = [*results.axes, "training loss, mean", "training loss, last", "test loss, last"]
    head += ["difference [95 % interval]", "published", "verdict"]
    rows = [_row(results, arm) for arm in results.arms()]
    return Table(head, rows, caption, f"Seeds {words.seeds(results)}")
