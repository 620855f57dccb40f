"""What a chart is, before the page draws it: a plotly figure as data, its words and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words

_ROWS = 12  # of the table beside a chart


class Numbers(NamedTuple):
    """A chart as a table, for those who cannot see it.

    Attributes:
        head: The columns' names.
        rows: The cells.
        note: Which rows are left out.
    """

    head: list[str]
    rows: list[list[str]]
    note: str = ""


class Chart(NamedTuple):
    """One chart.

    Attributes:
        title: What it shows.
        told: The same for a screen reader, with what its axes are.
        figure: Plotly's ``data`` and ``layout``, without colours: the page has them. A trace's
            ``meta`` is the number of its arm.
        numbers: What is drawn, as a table; None where the study's own table has it.
    """

    title: str
    told: str
    figure: dict[str, Any]
    numbers: Numbers | None = None


def figure(data: list[dict[str, Any]], x: str, y: str, **layout: Any) -> dict[str, Any]:
    """A plotly figure with named axes."""
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    for name, more in layout.items():
        axes[name] = {**axes.get(name, {}), **more} if isinstance(more, dict) else more
    return {"data": data, "layout": axes}


def numbers(x: str, at: Sequence[float], columns: dict[str, Sequence[float]]) -> Numbers:
    """Curves as a table: at most a dozen rows, evenly spread, the first and the last among them."""
    count = len(at)
    shown = sorted({round(i * (count - 1) / (_ROWS - 1)) for i in range(_ROWS)} if count else ())
    rows = [
        [f"{at[i]:g}", *(words.number(c[i]) if i < len(c) else "-" for c in columns.values())]
        for i in shown
    ]
    note = f"{len(rows)} of {count} records" if len(rows) < count else ""
    return Numbers([x, *columns], rows, note)
