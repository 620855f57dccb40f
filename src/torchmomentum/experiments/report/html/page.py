"""Puts the page together: one file with its data, its style and its scripts."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.report.html.charts import charts
from torchmomentum.experiments.report.html.differences import differences
from torchmomentum.experiments.report.html.problems import problems
from torchmomentum.experiments.report.html.provenance import provenance
from torchmomentum.experiments.report.html.runs import Run, gathered, lead, rows
from torchmomentum.experiments.report.html.sentences import capital, counted
from torchmomentum.experiments.report.html.verdicts import verdicts
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.result import Results

_HERE = Path(__file__).parent
_NUMBER = re.compile(r"[-+]?[\d.]")
_NO_NUMBER = ("", "-", "baseline", "reference")  # among numbers
_MANY = 12  # rows, above which a table is folded


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    found: str = get_plotlyjs()
    return found.replace("</script", "<\\/script")  # which would end the page's own


@functools.cache
def _scripts() -> tuple[str, str]:
    return _plotly(), _text("page.js")


@functools.cache
def policy(*, live: bool) -> str:
    """What the page may do: run its own two scripts, and nothing over the network.

    Args:
        live: It may ask the server that it came from.
    """
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in _scripts())
    parts = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{each}'" for each in hashes),
        "style-src": "'unsafe-inline'",  # plotly writes the styles of its charts
        "img-src": "data: blob:",  # a chart that is saved as a picture
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _plain(value: Any) -> Any:
    """JSON has no infinite numbers, and none that are not numbers."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numeric(found: Table) -> list[bool]:
    """Which columns hold numbers, and stand to the right."""
    columns = list(zip(*found.rows, strict=True)) or [()] * len(found.head)
    return [
        i > 0
        and any(column)
        and all(
            _NUMBER.match(cell) for cell in column if cell not in ("", "-", "baseline", "reference")
        )
        for i, column in enumerate(columns)
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
    parts = [results.study, f"{counted(arms, 'arm')}, {counted(seeds, 'seed')}"]
    if results.higher_is_better is not None:
        way = "higher" if results.higher_is_better else "lower"
        parts.append(f"{results.metric}, {way} is better")
    return " · ".join(parts)


def _shown(
    named: Sequence[tuple[str, Results]],
    make: Callable[[Results], dict[str, Any]],
    damaged: list[str],
) -> list[dict[str, Any]]:
    """What can be shown; the rest is told among what is damaged."""
    found = []
    for name, results in named:
        try:
            found.append(make(results))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError, UsageError) as error:
            kind = type(error).__name__
            damaged.append(f"{name} cannot be shown as {results.table or 'runs'}: {kind} {error}")
    return found


def _task(results: Results) -> dict[str, Any]:
    return {"name": results.study, **_drawn(results)}


def _heading(studies: Sequence[dict[str, Any]], runs: Sequence[Run]) -> str:
    if len(studies) == 1 and not runs:
        return str(studies[0]["title"])
    if not studies:
        return counted(len(runs), "run") if runs else "Nothing to report"
    return f"Report on {counted(len(studies), 'study')}".replace("studys", "studies")


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
        loader=FileSystemLoader(_HERE),
        autoescape=True,  # names are their users'
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lines = list(damaged)
    shown = _shown(studies, _study, lines)
    tasks = _shown([(each.title, each) for each in gathered(runs)], _task, lines)
    if lines and not shown and not runs and version is None:
        raise UsageError(lines[0])
    plotly, script = _scripts()
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
        style=_text("style.css"),
        plotly=plotly,
        script=script,
    )
