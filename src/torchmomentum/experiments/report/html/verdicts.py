"""What may be concluded from a study, in sentences; each number is that of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.html.sentences import (
    BAD,
    GOOD,
    PLAIN,
    Group,
    Verdict,
    kind_of,
    listed,
)
from torchmomentum.experiments.report.iterations import curve, methods
from torchmomentum.experiments.report.judgement import (
    UNKNOWN,
    Judged,
    judged,
    needs,
    pairs,
    trouble,
)
from torchmomentum.experiments.report.ratios import ratio
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.report.tuned import references, untuned_name
from torchmomentum.experiments.result import Results, ended, values

_PUBLISHED = ("beside", "costs", "grid")  # whose verdict is on what a paper says
Way = Callable[[Results, Table], list[Group]]


def _lead(found: Sequence[Verdict], against: str) -> str:
    """All verdicts of a group in one sentence or a few."""
    sentences = []
    for said in ("better", "worse", "not separable"):
        names = [each.name for each in found if each.said.startswith(said)]
        if names:
            verb, link = "is" if len(names) == 1 else "are", "from" if "not" in said else "than"
            sentences.append(f"{listed(names)} {verb} {said} {link} {against}.")
    return " ".join(sentences)


def _words(results: Results, each: Judged, key: str) -> str:
    """The numbers behind a verdict."""
    told = words.spread(values(ended(results.of(each.arm)), key))
    if each.difference is None:
        return f"{results.metric} {told}; no pair of seeds came to its end"
    beside = words.spread(values(ended(results.of(each.baseline)), key))
    number = words.counted(len(pairs(results, each.arm, each.baseline)), "pair")
    said = f"{results.metric} {told} against {beside}; difference {words.interval(each.difference)}"
    if each.difference.low is None:
        return f"{said}, of one pair of seeds"
    said = f"{said}, the 95 % interval over {number} of seeds"
    if each.p is not None:
        said += f"; p = {each.p:.2g} after Holm's correction"
    return f"{said}; {needs(each)} would separate them" if each.verdict == UNKNOWN else said


def _judged(
    results: Results,
    judgements: list[Judged],
    key: str = "chosen",
    name: Callable[[Results, Any], str] = words.arm_name,
) -> list[Group]:
    """Every arm beside its baseline."""
    found: dict[str, list[Verdict]] = {}
    for each in judgements:
        if each.is_baseline:
            continue
        lost = trouble(results, each.arm)
        said = " ".join(filter(None, [each.verdict, lost])) or "no pair"
        told = _words(results, each, key)
        one = Verdict(name(results, each.arm), said, kind_of(said), told)
        found.setdefault(name(results, each.baseline), []).append(one)
    return [Group(f"Against {first}", _lead(f, first), f) for first, f in found.items()]


def _tuned(results: Results) -> list[Group]:
    """Every arm beside each reference."""
    each = (judged(results, baseline=one) for one in references(results))
    groups = (_judged(results, one, name=untuned_name) for one in each)
    return [group for each in groups for group in each]


def _stated(results: Results, table: Table) -> list[Group]:
    """What the table's own column of verdicts says, row by row."""
    at, arms, found = table.head.index("verdict"), results.arms(), []
    by_arm = len(arms) == len(table.rows)
    for i, row in enumerate(table.rows):
        if row[at]:
            name = words.arm_name(results, arms[i]) if by_arm else row[0]
            said, _, why = row[at].partition(": ")
            cells = zip(table.head, row, strict=True)
            told = [f"{head} {cell}" for head, cell in cells if "difference" in head and cell]
            told = [why, *told] if why else told
            found.append(Verdict(name, said, kind_of(row[at]), "; ".join(told)))
    published = results.table in _PUBLISHED
    title = "Beside what was published"
    return [_published(title, found) if published else Group("By row", "", found)]


def _claimed(below: Table) -> Group:
    """Each statement of the paper's."""
    rows, found = (dict(zip(below.head, row, strict=True)) for row in below.rows), []
    for row in rows:
        said, _, why = row["verdict"].partition(": ")
        told = filter(None, [why, row["weakest difference [95 % interval]"], row.get("note", "")])
        name = f"{row['said in']}, {row['of']}: {row['statement']}"
        found.append(Verdict(name, said, kind_of(row["verdict"]), "; ".join(told)))
    return _published("What the paper says of the models", found)


def _published(title: str, found: list[Verdict]) -> Group:
    good, bad = (sum(each.kind == kind for each in found) for kind in (GOOD, BAD))
    statements = words.counted(len(found), "published statement")
    lead = f"{good} of {statements} {'is' if good == 1 else 'are'} reproduced here"
    contrary = f"; {bad} came out the contrary" if bad else ""
    return Group(title, f"{lead}{contrary}.", found)


def _reached(_: Results, table: Table) -> list[Group]:
    """How long each model trains until it is as good as the first."""
    found = []
    for name, *cells in table.rows:
        told = [f"{head} {cell}" for head, cell in zip(table.head[1:], cells, strict=True)]
        found.append(Verdict(name, "", PLAIN, "; ".join(told)))
    return [Group("Until the target is reached", "", found)]


def _ended_at(results: Results, _: Table) -> list[Group]:
    """Where each method of an iteration ends."""
    found, theorem = [], results.view.get("theorem", {})
    for arm in methods(results):
        k, table = curve(results, arm)
        told = f"{results.view['quantity']} is {table[:, -1].mean():.3g} after {k[-1]:,} iterations"
        proved = f"; the theorem says {theorem[arm['method']]}" if arm["method"] in theorem else ""
        found.append(Verdict(arm["method"], "", PLAIN, f"{told}{proved}"))
    return [Group("Where they end", "", found)]


def _measured(results: Results, _: Table) -> list[Group]:
    """The ratios of a benchmark, over all that was measured."""
    first, *others = results.runs[0].values
    found = []
    for name in others:
        ratios = [ratio(results, run.values[name]) for run in results.runs if name in run.values]
        middles = [middle for middle, _ in ratios]
        span = f"{min(middles):.2f} to {max(middles):.2f}"
        told = f"{span} times {first}, median {median(middles):.2f} of {len(middles)}"
        if len(middles) == 1:
            told = f"{middles[0]:.2f} times {first}"
        found.append(Verdict(name, "", PLAIN, told))
    return [Group(f"Beside {first}", "", found)] if found else []


def _best(results: Results, table: Table) -> list[Group]:
    """What a search found best."""
    told = [f"{name} {cell}" for name, cell in zip(table.head, table.rows[0], strict=True) if cell]
    settings, reached = told[: len(results.axes)], "; ".join(told[len(results.axes) :])
    lead = f"The best of {words.counted(results.view['trials'], 'trial')}: {', '.join(settings)}."
    return [Group("Found best", lead, [Verdict(str(results.view["model"]), "", PLAIN, reached)])]


_WAYS: dict[str, Way] = {
    "trials": _best,
    "tuned": lambda results, _: _tuned(results),
    "time-to-accuracy": _reached,
    "iterations": _ended_at,
    "comparison": lambda results, _: _judged(results, judged(results)),
    "errors": lambda results, _: _judged(results, judged(results, "last"), "last"),
}


def verdicts(results: Results, table: Table) -> list[Group]:
    """What a study concludes; empty where it asks for no verdict.

    Args:
        results: The study's.
        table: Its table, for studies whose verdicts stand there alone.
    """
    claimed = [] if table.below is None else [_claimed(table.below)]
    if results.table in _WAYS:
        return [*_WAYS[results.table](results, table), *claimed]
    if "verdict" in table.head:
        return [*_stated(results, table), *claimed]
    return _measured(results, table) if results.figure == "ratios" else claimed
