"""How fast trainings converge: the mean of the training loss over the epochs, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.beside import verdict
from torchmomentum.experiments.report.comparison import baseline_of, pairs
from torchmomentum.experiments.report.statistics import Difference, paired_difference
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Result, Results, ended


def _mean(run: Result) -> float:
    losses: Sequence[float] = run.curves["train_loss"]
    return sum(losses) / len(losses)


def _difference(results: Results, arm: dict[str, Any]) -> Difference | None:
    found = pairs(results, arm)
    if not found or arm == baseline_of(results, arm):
        return None
    return paired_difference([_mean(ours) for ours, _ in found], [_mean(b) for _, b in found])


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs, d = ended(results.of(arm)), _difference(results, arm)
    faster = arm["model"] in results.view["faster"].get(arm["task"], ())
    said = verdict(d, -1.0 if faster else None, False, ("faster", "slower"))
    lost = len(results.of(arm)) - len(runs)
    if lost:
        said = f"{said} (diverged: {lost} of {len(results.of(arm))})".strip()
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
        f"{results.title}: mean ± standard deviation over {len(results.seeds)} seeds. Faster means "
        "a lower mean of the training loss over all epochs; its difference is from the first model "
        "of the same task and size, with its 95 % interval, paired by seed."
    )
    if "note" in results.view:
        caption += f" Scale {results.scale}: {results.view['note']}."
    head = [*results.axes, "training loss, mean", "training loss, last", "test loss, last"]
    head += ["difference [95 % interval]", "published", "verdict"]
    rows = [_row(results, arm) for arm in results.arms()]
    return Table(head, rows, caption, f"Seeds {words.seeds(results)}")
