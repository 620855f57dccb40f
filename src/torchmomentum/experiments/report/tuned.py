"""Models that were tuned alike, beside references, with Holm's correction over all of them."""

from __future__ import annotations

from functools import partial
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.accuracy import until_target
from torchmomentum.experiments.report.judgement import Judged, conclusion, judged
from torchmomentum.experiments.report.table import Table, filled
from torchmomentum.experiments.result import Results, ended, values


def _cells(judgements: list[Judged]) -> list[list[str]]:
    """For each arm its difference from a reference, the adjusted p, and a verdict."""
    cells = []
    for each in judgements:
        if each.difference is None:
            cells.append(["reference" if each.is_baseline else "-", "", ""])
            continue
        p = "-" if each.p is None else f"{each.p:.2g}"
        cells.append([words.interval(each.difference), p, each.verdict])
    return cells


def _split(results: Results, arm: dict[str, Any]) -> tuple[str, str]:
    """What an arm was before it was tuned, and the values that were found for it."""
    setting = results.view.get("tuned")
    if setting is not None:  # one setting's values were tried
        name, _, value = arm["model"].rpartition(f"@{setting}=")
        return name, value
    found = results.view["searched"][arm_key(arm)]
    value = ", ".join(f"{key} {value}" for key, value in found["values"].items())
    axes = {axis: list(dict.fromkeys(a[axis] for a in _untuned(results))) for axis in arm}
    return words.arm_words(axes, found["arm"]), value


def _untuned(results: Results) -> list[dict[str, Any]]:
    return [each["arm"] for each in results.view["searched"].values()]


def arm_key(arm: dict[str, Any]) -> str:
    """What a tuned arm's search is found by in the view."""
    return " ".join(map(str, arm.values()))


def _how(results: Results) -> str:
    """What was tried of each model."""
    view = results.view
    if "tuned" in view:
        tried = ", ".join(map(str, view["tried"]))
        return f"Each model has the best {view['tuned']} for it of {tried}, on validation samples"
    arms = [(_split(results, arm)[0], arm_key(arm)) for arm in results.arms()]
    trials: dict[str, list[Any]] = {name: view["searched"][key]["trials"] for name, key in arms}
    count = words.counted(max(map(len, trials.values())), "trial")
    untuned = [name for name, tried in trials.items() if not tried]
    but = f" but {', '.join(untuned)}, which has nothing of what was tried," if untuned else ""
    lost = [n for n, t in trials.items() if t and all(score is None for _, score, _ in t)]
    none = f"No trial of {', '.join(lost)} came to its end. " if lost else ""
    return f"{none}Each model{but} has the best values of {count}, on validation samples"


def _seeds(tried: int | list[int]) -> str:
    """Of which seeds the trials were."""
    if isinstance(tried, int):  # older files: the first seeds of the test
        return words.counted(tried, "seed")
    listed = ", ".join(map(str, tried))
    return f"{'seeds' if len(tried) > 1 else 'seed'} {listed}, with which nothing is tested"


def untuned_name(results: Results, arm: dict[str, Any]) -> str:
    """What an arm was called before it was tuned, if it was."""
    if "tuned" in results.view or "searched" in results.view:
        return _split(results, arm)[0]
    return words.arm_name(results, arm)


def references(results: Results) -> list[dict[str, Any]]:
    """The arms that all are compared with, as the view names them; by default the first."""
    arms = results.arms()
    listed = [untuned_name(results, arm) for arm in arms]
    return [arms[listed.index(each)] for each in results.view.get("references", listed[:1])]


def tuned(results: Results) -> Table:
    """What each model reaches at its best values, and its difference from each reference."""
    view, arms = results.view, results.arms()
    names = [_split(results, arm) for arm in arms]
    beside = references(results)
    judgements = [judged(results, baseline=reference) for reference in beside]
    columns = [_cells(each) for each in judgements]
    until, rows = until_target(results), []
    for i, (arm, (name, value)) in enumerate(zip(arms, names, strict=True)):
        runs = results.of(arm)
        cells = [name, value, words.spread(values(ended(runs), "chosen")), words.diverged(runs)]
        rows.append([*cells, until[i], *(cell for column in columns for cell in column[i])])
    head = ["model", view.get("tuned", "tuned"), results.metric, "note", "to target"]
    for reference in beside:
        name, _ = names[arms.index(reference)]
        head += [f"difference from {name} [95 % interval]", "p, Holm", "verdict"]
    direction = "higher" if results.higher_is_better else "lower"
    caption = (
        f"{results.title}: test {results.metric} ({direction} is better) at the epoch chosen on "
        f"validation samples, mean ± standard deviation over "
        f"{words.seed_count(results)}. {_how(results)} of "
        f"{_seeds(view['tuning_seeds'])}. Epochs until a model is as "
        "good as the first becomes, median, with the ratio of training times until then. "
        "Differences are paired by seed; p is Student's, corrected by Holm's method over all "
        "models; verdicts are at 5 %."
    )
    if "note" in view:
        caption += f" Scale {results.scale}: {view['note']}."
    told = conclusion(results, judgements[0], partial(untuned_name, results))
    return Table(*filled(head, rows), caption, words.trained(results), told)
