"""Models that were tuned alike, beside references, with Holm's correction over all of them."""

from __future__ import annotations

from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.statistics import Difference, holm, paired_difference
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results, ended, values

_LEVEL = 0.05


def _apart(results: Results, arm: dict[str, Any], reference: dict[str, Any]) -> Difference | None:
    others = {run.seed: run for run in ended(results.of(reference))}
    both = [(run, others[run.seed]) for run in ended(results.of(arm)) if run.seed in others]
    if not both or arm == reference:
        return None
    ours, theirs = zip(*both, strict=True)
    return paired_difference(values(ours, "chosen"), values(theirs, "chosen"))


def _compared(results: Results, reference: dict[str, Any]) -> list[list[str]]:
    """For each arm its difference from a reference, the adjusted p, and a verdict."""
    found = [_apart(results, arm, reference) for arm in results.arms()]
    adjusted = iter(holm([d.p for d in found if d is not None and d.p is not None]))
    cells = []
    for arm, d in zip(results.arms(), found, strict=True):
        if d is None:
            cells.append(["reference" if arm == reference else "-", "", ""])
            continue
        p = None if d.p is None else next(adjusted)
        if p is None:
            said, shown = d.verdict(bool(results.higher_is_better)), "-"
        else:
            better = (d.mean > 0) == bool(results.higher_is_better)
            said = ("better" if better else "worse") if p < _LEVEL else "not separable"
            shown = f"{p:.2g}"
        cells.append([words.interval(d), shown, said])
    return cells


def _split(model: str, setting: str) -> tuple[str, str]:
    name, _, value = model.rpartition(f"@{setting}=")
    return name, value


def tuned(results: Results) -> Table:
    """What each model reaches at its best value, and its difference from each reference."""
    view, arms = results.view, results.arms()
    setting = view["tuned"]
    names = [_split(arm["model"], setting) for arm in arms]
    references = [arms[[n for n, _ in names].index(each)] for each in view["references"]]
    columns = [_compared(results, reference) for reference in references]
    rows = []
    for i, (arm, (name, value)) in enumerate(zip(arms, names, strict=True)):
        runs = results.of(arm)
        cells = [name, value, words.spread(values(ended(runs), "chosen")), words.diverged(runs)]
        rows.append([*cells, *(cell for column in columns for cell in column[i])])
    head = ["model", setting, results.metric, ""]
    for each in view["references"]:
        head += [f"difference from {each} [95 % interval]", "p, Holm", "verdict"]
    tried = ", ".join(map(str, view["tried"]))
    direction = "higher" if results.higher_is_better else "lower"
    caption = (
        f"{results.title}: test {results.metric} ({direction} is better) at the epoch chosen on "
        f"validation samples, mean ± standard deviation over {len(results.seeds)} seeds. Each "
        f"model has the best {setting} for it of {tried}, on validation samples of "
        f"{view['tuning_seeds']} seeds. Differences are paired by seed; p is Student's, corrected "
        "by Holm's method over all models; verdicts are at 5 %."
    )
    if "note" in view:
        caption += f" Scale {results.scale}: {view['note']}."
    epochs = ", ".join(dict.fromkeys(str(run.recipe["epochs"]) for run in results.runs))
    return Table(head, rows, caption, f"Seeds {words.seeds(results)}; {epochs} epochs")
