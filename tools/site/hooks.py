"""What is done to pages as the site is built.

Mathematics becomes MathML: browsers show it, and nothing is fetched. Behind each recorded table
stand the figures of its result.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
_END = re.compile(r"<!-- ([\w-]+):end -->")


def _drawn(name: str) -> list[Path]:
    for folder in (RESULTS / name, RESULTS / "benchmarks" / name):
        if folder.is_dir():
            return sorted(folder.glob("*.svg"))
    return []


def on_files(files: Files, config: Any) -> Files:
    """See mkdocs: adds the figures of all recorded results."""
    for path in RESULTS.glob("**/*.svg"):
        place = f"figures/{path.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """See mkdocs: called with each page's Markdown."""

    def figures(found: re.Match[str]) -> str:
        shown = [
            f"![{found[1]}: {path.stem}](figures/{path.relative_to(RESULTS).as_posix()})"
            for path in _drawn(found[1])
        ]
        return "\n\n".join([found[0], *shown])

    return _END.sub(figures, markdown)


def _mathml(source: str, display: str) -> str:
    return str(convert(html.unescape(source).strip(), display=display))


def on_page_content(content: str, **kwargs: Any) -> str:
    """See mkdocs: called with each page's HTML."""
    content = _DISPLAY.sub(lambda found: _mathml(found[1], "block"), content)
    return _INLINE.sub(lambda found: _mathml(found[1], "inline"), content)
