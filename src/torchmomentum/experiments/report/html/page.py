"""Puts the page together: one file with its data, its style and its scripts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.html.charts import charts
from torchmomentum.experiments.report.html.differences import differences
from torchmomentum.experiments.report.html.problems import problems
from torchmomentum.experiments.report.html.provenance import provenance
from torchmomentum.experiments.report.html.runs import Run, gathered, lead, rows
from torchmomentum.experiments.report.html.scripts import HERE, policy, scripts, text
from torchmomentum.experiments.report.html.sentences import capital
from torchmomentum.experiments.report.html.verdicts import verdicts
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results

_NUMBER = re.compile(r"[-+]?[\d.]")
_MARKUP = ("hovertemplate", "texttemplate")  # of plotly's, with markup of ours
_NO_NUMBER = ("", "-", "baseline", "reference")  # among numbers
_MANY = 12  # rows, above which a table is folded


def _plain(value: Any) -> Any:
    """Names without markup, which plotly would follow; JSON has no numbers but the finite ones."""
    if isinstance(value, dict):
        return {key: each if key in _MARKUP else _plain(each) for key, each in value.items()}
    if isinstance(value, str):
        return escape(value, quote=False)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numeric(found: Table) -> list[bool]:
    """Which columns hold numbers, and stand to the right."""
    columns = [[row[i] for row in found.rows] for i in range(len(found.head))]
    numbers = [[cell for cell in column if cell not in _NO_NUMBER] for column in columns]
    return [
        i > 0 and bool(each) and all(map(_NUMBER.match, each)) for i, each in enumerate(numbers)
    ]


def _drawn(results: Results) -> dict[str, Any]:
    """The charts, and the lines that any of them has, by their numbers."""
    found, names = charts(results)
    shown = {trace.get("meta") for chart in found for trace in chart.figure["data"]}
    return {
        "charts": [{**chart._asdict(), "figure": _plain(chart.figure)} for chart in found],
        "names": [(i, name) for i, name in enumerate(names) if i in shown],
    }


def _study(results: Results) -> dict[str, Any]:
    """What the template needs of a study."""
    found = table(results)
    settings = differences(results)
    return {
        "name": results.study,
        "title": capital(results.title),
        "told": _told(results),
        "problems": problems(results),
        "groups": verdicts(results, found),
        "table": found._replace(caption=capital(found.caption)),
        "numeric": _numeric(found),
        "settings": settings,
        "folded": len(settings.rows) > _MANY,
        "provenance": provenance(results),
        **_drawn(results),
    }


def _told(results: Results) -> str:
    arms, seeds = len(results.arms()), len(results.seeds)
    parts = [results.study, f"{words.counted(arms, 'arm')}, {words.counted(seeds, 'seed')}"]
    if results.higher_is_better is not None:
        way = "higher" if results.higher_is_better else "lower"
        parts.append(f"{results.metric}, {way} is better")
    return " · ".join(parts)


def _apart(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Studies of one title, told apart by their folders."""
    titles = Counter(each["title"] for each in shown)
    for each in shown:
        if titles[each["title"]] > 1:
            each["title"] += f" ({each['folder']})"
    return shown


def _shown(
    named: Sequence[tuple[str, Results]],
    make: Callable[[Results], dict[str, Any]],
    damaged: list[str],
) -> list[dict[str, Any]]:
    """What can be shown, each with a key of its own; the rest is told among what is damaged."""
    found, known = list[dict[str, Any]](), Counter[str]()
    for name, results in named:
        try:
            key = f"{results.study}-{known[results.study]}"
            found.append({"key": key, "folder": str(PurePath(name).parent), **make(results)})
            known[results.study] += 1
        except (KeyError, TypeError, IndexError, ValueError, AttributeError, UsageError) as error:
            kind = type(error).__name__
            damaged.append(f"{name} cannot be shown as {results.table or 'runs'}: {kind} {error}")
    return found


def _task(results: Results) -> dict[str, Any]:
    return {"key": f"runs of {results.study}", "name": results.study, **_drawn(results)}


def _heading(studies: Sequence[dict[str, Any]], runs: Sequence[Run]) -> str:
    if len(studies) == 1 and not runs:
        return str(studies[0]["title"])
    if not studies:
        return words.counted(len(runs), "run") if runs else "Nothing to report"
    return f"Report on {words.counted(len(studies), 'study')}"


def page(
    studies: Sequence[tuple[str, Results]],
    runs: Sequence[Run] = (),
    damaged: Sequence[str] = (),
    *,
    version: str | None = None,
) -> str:
    """The whole page.

    Args:
        studies: Results, and the files that they are of.
        runs: Runs that no study has gathered.
        damaged: A line for each file that could not be read.
        version: What the server says of it, for a page that follows its files; None for a file.

    Raises:
        UsageError: Nothing can be shown, on a page that is a file.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,  # names are their users'
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lines = list(damaged)
    shown = _apart(_shown(studies, _study, lines))
    tasks = _shown([(each.title, each) for each in gathered(runs)], _task, lines)
    if lines and not shown and not runs and version is None:
        raise UsageError(lines[0])
    plotly, script = scripts()
    return environment.get_template("page.html").render(
        heading_text=_heading(shown, runs),
        studies=shown,
        damaged=lines,
        runs=rows(runs),
        lead=lead(runs),
        tasks=tasks,
        many=_MANY,
        version=version,
        policy=policy(live=version is not None),
        style=text("style.css"),
        plotly=plotly,
        script=script,
    )
