"""What a paper's table publishes, and beside it what was measured, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.judgement import baseline_of, difference
from torchmomentum.experiments.report.statistics import Difference
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results, ended, values

_READ = {
    "best": "the best over epochs",
    "chosen": "at the epoch that is best on validation samples",
    "last": "after the last epoch",
}


def _claimed(results: Results, arm: dict[str, Any], name: str) -> float | None:
    """The published difference of an arm from its baseline."""
    first = baseline_of(results, arm)
    (ours, _), (theirs, _) = (momentumrnn.printed(name, each) for each in (arm, first))
    return None if ours is None or theirs is None or arm == first else ours[0] - theirs[0]


def verdict(found: Difference | None, claimed: float | None, higher_is_better: bool) -> str:
    """Whether a published difference was found again: its sign, beyond what chance does.

    Args:
        found: The measured difference from the baseline.
        claimed: The published one.
        higher_is_better: Which way is better.
    """
    if claimed is None:
        return ""
    if found is None or found.low is None:
        return "not comparable: one seed" if found is not None else "not comparable: no pair ended"
    told = "better" if (claimed > 0) == higher_is_better else "worse"
    if not found.separable:
        return f"not reproduced ({told}): not separable"
    same = (found.mean > 0) == (claimed > 0)
    return f"reproduced: {told}" if same else f"not reproduced ({told}): the contrary"


def _pair(results: Results, arm: dict[str, Any], column: Mapping[str, Any]) -> list[str]:
    """What was published of an arm, and what was measured."""
    published, cited = momentumrnn.printed(column["from"], arm)
    told = "-" if published is None else words.printed(*published)
    if published is not None and cited is not None:
        told += f" (cited: {cited:.2f})" if published[1] else f" (cited; also {cited:.2f})"

    def form(value: float) -> str:
        return f"{column['unit'] * value:.{column['digits']}f}"

    found = [each for each in values(ended(results.of(arm)), column["value"]) if each is not None]
    return [told, words.spread(found, form)]


def _row(results: Results, arm: dict[str, Any]) -> list[str]:
    runs, last = results.of(arm), results.view["columns"][-1]
    first = arm == baseline_of(results, arm)
    printed, _ = momentumrnn.printed(last["from"], arm)
    thousands = momentumrnn.PARAMETERS.get((arm["task"], arm["N"])) if printed else None
    d, claimed = difference(results, arm, last["value"]), _claimed(results, arm, last["from"])

    def signed(value: float) -> str:
        return f"{last['unit'] * value:+.{last['digits']}f}"

    said, lost = verdict(d, claimed, bool(results.higher_is_better)), words.diverged(runs)
    if (arm["task"], arm["model"]) in momentumrnn.WITHOUT_SETTINGS:
        said = "not comparable: its hyperparameters are not published"
    if lost:
        said = f"{said} ({lost})".strip()
    return [
        *(str(arm[axis]) for axis in results.axes),
        "" if thousands is None else f"about {1000 * thousands:,}",
        f"{runs[0].costs['parameters']:,}",
        *(cell for column in results.view["columns"] for cell in _pair(results, arm, column)),
        "" if claimed is None else f"{claimed:+.2f}",
        "baseline" if first else "-" if d is None else words.interval(d, signed),
        said,
    ]


def beside(results: Results) -> Table:
    """Published and measured side by side; differences and verdict are of the last column."""
    view = results.view
    last = view["columns"][-1]
    caption = (
        f"{results.title}: mean ± standard deviation over {words.seed_count(results)}, "
        f"{_READ[last['value']]}. Differences of the {last['title']} are from the first model of "
        "the same task and size, the measured one with its 95 % interval, paired by seed. The "
        "verdict is on the sign of the published difference."
    )
    if "note" in view:
        caption += f" Scale {results.scale}, whose values are not the paper's: {view['note']}."
    head = [*results.axes, "parameters, published", "parameters"]
    for column in view["columns"]:
        head += [f"{column['title']}, published", f"{column['title']}, measured"]
    head += ["published difference", "difference [95 % interval]", "verdict"]
    rows = [_row(results, arm) for arm in results.arms()]
    return Table(head, rows, caption, words.trained(results))
