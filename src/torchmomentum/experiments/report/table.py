"""What a table is, before it is Markdown or a terminal's."""

from __future__ import annotations

from typing import NamedTuple


def filled(head: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without the columns in which no row has anything.

    Example:
        >>> filled(["model", "note"], [["lstm", ""], ["gru", ""]])
        (['model'], [['lstm'], ['gru']])
    """
    kept = [i for i, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


class Table(NamedTuple):
    """A table in words.

    Attributes:
        head: The columns' names.
        rows: The cells.
        caption: What the numbers are.
        note: What else a reader should know: seeds, settings.
        conclusion: In sentences what may be concluded from it; empty where that is no question.
        below: A table that stands below it; None for none.
    """

    head: list[str]
    rows: list[list[str]]
    caption: str
    note: str = ""
    conclusion: str = ""
    below: Table | None = None

    def lines(self) -> list[str]:
        """The table in Markdown."""
        lines = (self.head, ["---"] * len(self.head), *self.rows)
        return [f"| {' | '.join(line)} |" for line in lines]
