"""What a page says of an arm, and how lists of names are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

GOOD, BAD, OPEN, PLAIN = "good", "bad", "open", "plain"
_NAMED = 4  # more are counted


class Verdict(NamedTuple):
    """What may be concluded of one arm.

    Attributes:
        name: The arm.
        said: The verdict in two words; empty where none is asked for.
        kind: Whether it is :data:`GOOD`, :data:`BAD` or :data:`OPEN` news, or :data:`PLAIN`.
        words: The numbers behind it.
    """

    name: str
    said: str
    kind: str
    words: str


class Group(NamedTuple):
    """Verdicts of one question.

    Attributes:
        title: The question, or what all are compared with.
        lead: The answer in a sentence or two; empty where the list is the answer.
        verdicts: Arm by arm.
    """

    title: str
    lead: str
    verdicts: list[Verdict]


def kind_of(said: str) -> str:
    """Whether a verdict of the tables is good, bad or open.

    Example:
        >>> kind_of("better diverged: 1 of 3"), kind_of("not separable")
        ('good', 'open')
    """
    if said.startswith(("better", "reproduced")):
        return GOOD
    return BAD if said.startswith(("worse", "diverged")) or said.endswith("contrary") else OPEN


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them; many are counted.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a"] * 9)
        ('a, b and c', '9 arms')
    """
    if len(names) > _NAMED:
        return f"{len(names)} arms"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def capital(text: str) -> str:
    """A text that begins a line."""
    return text[:1].upper() + text[1:]
