"""What a person may get wrong, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A wrong name, value or file. The command line prints its one line and exits with 2."""


def first_line(error: BaseException) -> str:
    """What an error says, in its first line; its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns ``name`` if it is known.

    Raises:
        UsageError: It is not; the message lists the near ones, or all.
    """
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
    raise UsageError(f"unknown {kind} '{name}'; {hint}")
