"""What may be concluded of each arm: its difference from a baseline, corrected over all arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.statistics import (
    Difference,
    holm,
    paired_difference,
    seeds_needed,
)
from torchmomentum.experiments.result import Result, Results, ended

LEVEL = 0.05
UNKNOWN = "not separable"


class Judged(NamedTuple):
    """An arm beside its baseline.

    Attributes:
        arm: The arm.
        baseline: What it is compared with.
        difference: Paired by seed; None for the baseline itself, or where no pair ended.
        p: Student's, after Holm's correction over all arms; None where the pairs cannot tell.
        verdict: ``better``, ``worse``, ``not separable``, ``one seed``, ``no spread``; empty where
            there is no difference.
        needed: The seeds that would show a difference as large as the one seen, where it is not
            separable; None otherwise, or for more than 10,000.
    """

    arm: dict[str, Any]
    baseline: dict[str, Any]
    difference: Difference | None
    p: float | None
    verdict: str
    needed: int | None

    @property
    def is_baseline(self) -> bool:
        """Whether it is what others are compared with."""
        return self.arm == self.baseline


def baseline_of(results: Results, arm: Mapping[str, Any]) -> dict[str, Any]:
    """The arm that another is compared with: the first value on all axes, or on the view's."""
    axes = results.view.get("baseline", list(results.axes))
    return {**arm, **{axis: results.axes[axis][0] for axis in axes}}


def pairs(
    results: Results, arm: Mapping[str, Any], baseline: Mapping[str, Any]
) -> list[tuple[Result, Result]]:
    """The runs of an arm beside the baseline's of the same seed, where both came to their end."""
    others = {run.seed: run for run in ended(results.of(baseline))}
    return [(run, others[run.seed]) for run in ended(results.of(arm)) if run.seed in others]


def difference_of(
    results: Results,
    arm: Mapping[str, Any],
    measure: Callable[[Result], float],
    baseline: Mapping[str, Any] | None = None,
) -> Difference | None:
    """The paired difference of a measure from the baseline's; None where there is no pair."""
    reference = baseline_of(results, arm) if baseline is None else baseline
    found = pairs(results, arm, reference)
    if not found or arm == reference:
        return None
    ours, theirs = ([measure(run) for run in side] for side in zip(*found, strict=True))
    return paired_difference(ours, theirs)


def difference(
    results: Results,
    arm: Mapping[str, Any],
    key: str,
    baseline: Mapping[str, Any] | None = None,
) -> Difference | None:
    """:func:`difference_of` one of the runs' values."""

    def value(run: Result) -> float:
        found: float = run.values[key]
        return found

    return difference_of(results, arm, value, baseline)


def judged(
    results: Results, key: str = "chosen", baseline: dict[str, Any] | None = None
) -> list[Judged]:
    """All arms of a comparison.

    Args:
        results: Of a study with a direction.
        key: The value that counts.
        baseline: What all arms are compared with; None for what :func:`baseline_of` says.
    """
    arms, higher = results.arms(), bool(results.higher_is_better)
    references = [baseline_of(results, arm) if baseline is None else baseline for arm in arms]
    found = [difference(results, a, key, b) for a, b in zip(arms, references, strict=True)]
    tests = [d.p for d in found if d is not None and d.p is not None]
    corrected = iter(holm(tests))
    judgements = []
    for arm, reference, d in zip(arms, references, found, strict=True):
        p = None if d is None or d.p is None else next(corrected)
        said, needed = "" if d is None else d.verdict(higher), None
        if d is not None and p is not None:
            said = d.side(higher) if p < LEVEL else UNKNOWN
            needed = seeds_needed(d, LEVEL / len(tests)) if said == UNKNOWN else None
        judgements.append(Judged(arm, reference, d, p, said, needed))
    return judgements


def trouble(results: Results, arm: Mapping[str, Any]) -> str:
    """How many runs of an arm diverged or exploded; empty for none."""
    runs = results.of(arm)
    exploded = sum(run.warning is not None for run in runs)
    told = [words.diverged(runs), f"loss exploded: {exploded} of {len(runs)}" if exploded else ""]
    return " ".join(filter(None, told))


def conclusion(
    results: Results, judgements: list[Judged], name: Callable[[dict[str, Any]], str] | None = None
) -> str:
    """In sentences what may be concluded of a comparison, and what may not.

    Args:
        results: Of the comparison.
        judgements: Of its arms.
        name: What an arm is called; by default what :func:`~.words.arm_name` says.
    """
    name = partial(words.arm_name, results) if name is None else name
    told = []
    for each in judgements:
        this, other = name(each.arm), name(each.baseline)
        if each.verdict in ("better", "worse") and each.difference is not None:
            told.append(
                f"{this} is {each.verdict} than {other}: "
                f"{words.interval(each.difference)}, p = {each.p:.2g}."
            )
    tests = sum(each.p is not None for each in judgements)
    if told and tests > 1:
        told[-1] += f" p is corrected by Holm's method over {tests} tests."
    unknown = [each for each in judgements if each.verdict == UNKNOWN]
    if unknown:
        names = ", ".join(f"{name(u.arm)} ({needs(u)})" for u in unknown)
        told.append(
            f"{words.seed_count(results)} do not separate these from the baseline: {names}. In "
            "brackets is the number of seeds that would show a difference as large as the one "
            "seen, with a probability of 80 %."
        )
    alike = [name(each.arm) for each in judgements if _cannot_tell(each)]
    if alike:
        told.append(f"Nothing may be concluded of {', '.join(alike)}: {_why(judgements)}.")
    lost = [(each, trouble(results, each.arm)) for each in judgements]
    told += [f"{name(each.arm)}: {said}." for each, said in lost if said]
    return " ".join(told)


def needs(each: Judged) -> str:
    """How many seeds would separate what is not separable."""
    return "more than 10,000 seeds" if each.needed is None else f"about {each.needed:,} seeds"


def _cannot_tell(each: Judged) -> bool:
    return each.verdict in ("one seed", "no spread")


def _why(judgements: list[Judged]) -> str:
    said = dict.fromkeys(each.verdict for each in judgements if _cannot_tell(each))
    return " or ".join(
        {"one seed": "a single seed has no spread", "no spread": "all seeds differ alike"}[word]
        for word in said
    )
