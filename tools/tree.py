"""Prints the tree of the package, one line a file, from the first lines of the docstrings.

``python -m tools.tree docs/architecture.md`` puts it between the page's marks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "torchmomentum"
BEGIN, END = "<!-- tree:begin -->", "<!-- tree:end -->"
_WIDTH = 36


def _first_line(path: Path) -> str:
    if not path.exists():
        return ""
    if path.suffix == ".py":
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    else:  # the comment at the top of C++, or the first line of a page
        told = path.read_text(encoding="utf-8").splitlines()[0].lstrip("/ ").strip()
    words = told.split("\n\n")[0].replace("\n", " ")
    return re.sub(r"``|:class:|~\.", "", words).strip()


def _lines(folder: Path, depth: int) -> Iterator[str]:
    indent = "  " * depth
    told = (_first_line(folder / name) for name in ("__init__.py", "README.md"))
    yield _line(f"{indent}{folder.name}/", next(filter(None, told), ""))
    inside = sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name))
    for path in inside:
        if path.is_dir() and path.name != "__pycache__":
            yield from _lines(path, depth + 1)
        elif path.suffix in (".py", ".h", ".cpp") and path.name != "__init__.py":
            yield _line(f"{indent}  {path.name}", _first_line(path))


def _line(name: str, words: str) -> str:
    return f"{name:<{_WIDTH}}{words}".rstrip()


def tree() -> str:
    """The tree, as a block of Markdown."""
    return "\n".join([BEGIN, "```text", *_lines(SOURCE, 0), "```", END])


def main() -> int:
    """Prints the tree, or writes it into the pages that are named."""
    for name in sys.argv[1:]:
        page = Path(name)
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(before + tree() + after, encoding="utf-8")
    if not sys.argv[1:]:
        print(tree())
    return 0


if __name__ == "__main__":
    sys.exit(main())
