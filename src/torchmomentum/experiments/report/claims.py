"""What a paper says of the models of a study, and whether it is so here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.published.claims import CLAIMS, Claim
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.accuracy import reaches_target, seconds_to_target
from torchmomentum.experiments.report.convergence import mean_loss
from torchmomentum.experiments.report.judgement import difference_of
from torchmomentum.experiments.report.statistics import Difference
from torchmomentum.experiments.report.table import Table, filled
from torchmomentum.experiments.result import Result, Results

Measure = Callable[[Result], float]


class _Says(NamedTuple):
    """What a claim says in words, the measure it is about, and which way that differs.

    The sign is 1 for more, -1 for less, 0 for no difference.
    """

    words: str
    measure: Measure
    sign: int


class _Pair(NamedTuple):
    """A model beside another."""

    model: str
    other: str
    difference: Difference | None  # None where no pair of seeds ended


_LEAST = 1e-45  # float32's: what has vanished whole has a logarithm too


def _last_loss(run: Result) -> float:
    return float(run.curves["train_loss"][-1])


def _overfitting(run: Result) -> float:
    """How much the test loss rises from its least to its last."""
    losses = run.curves["test_loss"]
    return float(losses[-1] - min(losses))


def _gradient(run: Result) -> float:
    """The logarithm of dL/dh at a sequence's first step over that at its last, in the end."""
    return math.log10(max(run.values["state_last"], _LEAST))


# what a claim may say; of a table's own value it says "better" or "worse", of Table 16 "earlier"
SAYS: dict[str, _Says] = {
    "faster": _Says("faster than", mean_loss, -1),
    "lower last loss": _Says("a lower last training loss than", _last_loss, -1),
    "similar last loss": _Says("a last training loss similar to that of", _last_loss, 0),
    "less overfitted": _Says("less overfitted than", _overfitting, -1),
    "larger gradient": _Says("a larger gradient at the first step than", _gradient, 1),
}
_MEANING = {
    "faster": "Faster means a lower mean of the training loss over all epochs.",
    "similar last loss": "Similar losses are not contradicted where no difference is separable; "
    "few seeds cannot show that there is none.",
    "less overfitted": "Overfitting is how much the test loss rises from its least to its last.",
    "larger gradient": "Compared is the logarithm of dL/dh at the first step over that at the "
    "last, at the last record.",
    "earlier": "Earlier means fewer seconds of training until the target. They are rough, for "
    "other runs trained beside. What is only compared with and never reaches it counts whole.",
}


def _said(results: Results, claim: Claim) -> _Says:
    if claim.says == "earlier":
        return _Says("earlier than", partial(seconds_to_target, results), -1)
    if claim.says in SAYS:
        return SAYS[claim.says]
    key = results.view["columns"][-1]["value"]
    up = (claim.says == "better") == bool(results.higher_is_better)
    return _Says(f"{claim.says} than", lambda run: float(run.values[key]), 1 if up else -1)


def _pairs(results: Results, claim: Claim, measure: Measure) -> list[_Pair]:
    """Each model beside each other."""
    return [
        _Pair(model, other, difference_of(results, arm, measure, baseline))
        for model in claim.models
        for other in claim.than
        for arm, baseline in [[{**claim.where, "model": each} for each in (model, other)]]
    ]


def _strength(pair: _Pair, sign: int) -> float:
    """How far a pair speaks for a claim, in halves of its interval: above 1 it holds."""
    d = pair.difference
    if d is None or d.separable is None or d.low is None or d.high is None:
        return 0.0
    reach = 2 * d.mean / (d.high - d.low)
    return sign * reach if sign else -abs(reach)


def _unknown(pair: _Pair) -> str:
    """Why a pair tells nothing; empty where it does."""
    d = pair.difference
    if d is None:
        return f"no pair of {pair.model} and {pair.other} ended"
    if d.separable is not None:
        return ""
    return "no difference in any seed" if d.mean == 0 and d.low == 0 else d.verdict(True)


def _verdict(pairs: list[_Pair], sign: int) -> str:
    """What all pairs together leave of a claim."""
    strengths = [_strength(pair, sign) for pair in pairs if not _unknown(pair)]
    why = next(filter(None, map(_unknown, pairs)), "")
    if sign == 0:
        if any(each < -1 for each in strengths):
            return "not reproduced: they differ"
        return f"not comparable: {why}" if why else "not contradicted"
    hold, contrary = sum(each > 1 for each in strengths), sum(each < -1 for each in strengths)
    if hold == len(strengths):
        return f"not comparable: {why}" if why else "reproduced"
    if contrary == len(pairs):
        return "not reproduced: the contrary"
    if hold == contrary == 0:
        return "not reproduced: not separable"
    against = f", {contrary} the contrary" if contrary else ""
    return f"not reproduced: {hold} of {len(pairs)} pairs hold{against}"


def _against_itself(results: Results, claim: Claim, sign: int) -> str:
    """The models of whom the paper's own table has the contrary of a claim."""
    if claim.says not in ("better", "worse"):
        return ""
    printed = partial(momentumrnn.printed, results.view["columns"][-1]["from"])

    def value(model: str) -> momentumrnn.Value | None:
        return printed({**claim.where, "model": model})[0]

    found = [
        f"{model} ({ours[0]:.2f}, {other} {theirs[0]:.2f})"
        for model in claim.models
        for other in claim.than
        if (ours := value(model)) and (theirs := value(other))
        if sign * (ours[0] - theirs[0]) < 0
    ]
    return f"the paper's own table has the contrary of {', '.join(found)}" if found else ""


def _without_settings(claim: Claim) -> list[str]:
    known = momentumrnn.WITHOUT_SETTINGS
    return [model for model in claim.models if (claim.where["task"], model) in known]


def _late(results: Results, claim: Claim) -> list[str]:
    """The models that are said to be earlier, some of whose runs never reach the target."""
    if claim.says != "earlier":
        return []
    runs = {m: results.of({**claim.where, "model": m}) for m in claim.models}
    return [m for m, of in runs.items() if not all(_arrives(results, run) for run in of)]


def _arrives(results: Results, run: Result) -> bool:
    return run.failed is None and reaches_target(results, run)


def _judged(results: Results, claim: Claim) -> list[str]:
    """The statement, the pair that speaks most against it, the verdict, and a note."""
    says = _said(results, claim)
    told = f"{', '.join(claim.models)}: {says.words} {', '.join(claim.than)}"
    note = _against_itself(results, claim, says.sign)
    if late := _late(results, claim):
        said = f"not reproduced: not all seeds of {', '.join(late)} reach the target"
        return [told, "-", said, note]
    pairs = _pairs(results, claim, says.measure)
    said, shown = _verdict(pairs, says.sign), "-"
    weakest = min(pairs, key=partial(_strength, sign=says.sign))
    if weakest.difference is not None:
        interval = words.interval(weakest.difference, partial(_signed, results, claim))
        shown = f"{weakest.model} - {weakest.other}: {interval}"
    if without := _without_settings(claim):
        said = f"not comparable: the hyperparameters of {', '.join(without)} are not published"
    return [told, shown, said, note]


def _signed(results: Results, claim: Claim, value: float) -> str:
    """A difference in its table's own unit."""
    if claim.says not in ("better", "worse"):
        return words.signed(value)
    last = results.view["columns"][-1]
    return f"{last['unit'] * value:+.{last['digits']}f}"


def claims(results: Results) -> Table | None:
    """What is said of a study's models, judged; None where nothing is."""
    found = CLAIMS.get(results.study, ())
    if not found:
        return None
    rows = []
    for claim in found:
        where = ", ".join(f"{k} {v}" if k != "task" else str(v) for k, v in claim.where.items())
        rows.append([claim.source, where, *_judged(results, claim)])
    said = {claim.says for claim in found}
    caption = (
        "What the paper and the slides say of these models. A statement is reproduced where the "
        "differences of all its pairs have the sign that is said, and their 95 % intervals, paired "
        "by seed, leave out zero. Shown is the pair that speaks most against it."
    )
    meaning = [told for says, told in _MEANING.items() if says in said]
    head = ["said in", "of", "statement", "weakest difference [95 % interval]", "verdict", "note"]
    return Table(*filled(head, rows), " ".join([caption, *meaning]))
