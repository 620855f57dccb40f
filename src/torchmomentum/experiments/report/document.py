"""A study's table in Markdown, under the command that makes it."""

from __future__ import annotations

import re
from pathlib import Path

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_text
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.result import Results


def document(results: Results) -> str:
    """Command, caption, table; seeds, settings, machine and versions."""
    found = table(results)
    note = f"{found.note}; " if found.note else ""
    command = f"`{results.provenance['command']}`"
    said = [found.conclusion, ""] if found.conclusion else []
    origin = f"{note}{words.origin(results)}."
    lines = [command, "", *said, found.caption, "", *found.lines(), "", origin]
    if found.below is not None:
        lines += ["", found.below.caption, "", *found.below.lines()]
    return "\n".join(lines) + "\n"


def insert(path: Path, marker: str, text: str) -> None:
    """Puts text between ``<!-- marker:begin -->`` and ``<!-- marker:end -->`` of a document.

    Raises:
        UsageError: The document has no such marks.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    old = path.read_text(encoding="utf-8")
    if not pattern.search(old):
        raise UsageError(f"{path} has no marks {begin} and {end}")
    write_text(path, pattern.sub(lambda _: f"{begin}\n{text}{end}", old))
