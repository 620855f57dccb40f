"""Docstrings' roles and directives of reStructuredText as Markdown, for the reference pages."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import griffe

_TORCHS = "https://docs.pytorch.org/docs/stable/generated/"
_ROLE = re.compile(r":(class|func|meth|mod|attr|data):`(~?)([\w.]+)`")
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
_MATH = re.compile(r":math:`([^`]+)`")
_BLOCK = re.compile(r"^( *)\.\. math::[ ]*(.*)\n((?:(?:\1 +.*)?\n)*)", re.MULTILINE)


def _homes() -> dict[str, str]:
    """What the reference page shows, by its last name."""
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    places = re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {place.rpartition(".")[2]: place for place in places}


class Markdown(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def __init__(self) -> None:
        self.homes = _homes()

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """See ``griffe.Extension``."""
        if obj.docstring is not None:
            obj.docstring.value = self.markdown(obj.docstring.value)

    def markdown(self, text: str) -> str:
        """A docstring in Markdown."""
        text = _BLOCK.sub(_display, text)
        text = _MATH.sub(lambda found: rf"\({found[1]}\)", text)
        text = _ROLE.sub(self._role, text)
        text = _EXAMPLE.sub(r"\1Examples:", text)  # a section of code, not a note
        return text.replace("``", "`")

    def _role(self, found: re.Match[str]) -> str:
        _, short, name = found.groups()
        shown = name.rpartition(".")[2] if short else name
        if name.startswith("torch."):
            return f"[`{shown}`]({_TORCHS}{name}.html)"
        home = self.homes.get(name.rpartition(".")[2])
        return f"[`{shown}`][{home}]" if home else f"`{shown}`"


def _display(found: re.Match[str]) -> str:
    indent, first, rest = found.groups()
    body = "\n".join([first, textwrap.dedent(rest)]).strip()
    if "\\\\" in body or "&" in body:
        body = rf"\begin{{aligned}}{body}\end{{aligned}}"
    lines = ["$$", *body.splitlines(), "$$"]
    return "\n".join(["", *(indent + line for line in lines), "", ""])
