"""In which settings arms differ, and what all have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torchmomentum.experiments.report import words
from torchmomentum.experiments.result import Results

_SHOWN = 8  # of a list


class Differences(NamedTuple):
    """The settings of a study's arms.

    Attributes:
        keys: Those that differ between arms.
        rows: Each arm's name, and its values of them.
        common: The others, with the value that all arms have.
    """

    keys: list[str]
    rows: list[tuple[str, list[str]]]
    common: list[tuple[str, str]]


def flat(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A recipe's settings by dotted names.

    Example:
        >>> dict(flat({"lr": 1, "rule": {"mu": 0.6}, "schedule": {}}))
        {'lr': 1, 'rule.mu': 0.6}
    """
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) > _SHOWN:
        return f"{json.dumps(value[:_SHOWN])[:-1]}, ...] ({len(value)} values)"
    return "none" if value is None else json.dumps(value)


def differences(results: Results) -> Differences:
    """What differs; a value that changes with the seed is given for all seeds."""
    arms = results.arms()
    found: list[dict[str, str]] = []
    for arm in arms:
        told: dict[str, dict[str, None]] = {}
        for run in results.of(arm):
            for key, value in flat(run.recipe):
                told.setdefault(key, {})[_told(value)] = None
        found.append({key: ", ".join(each) for key, each in told.items()})
    keys = list(dict.fromkeys(key for each in found for key in each))
    differ = [key for key in keys if len({each.get(key) for each in found}) > 1]
    rows = [
        (words.arm_name(results, arm), [each.get(key, "-") for key in differ])
        for arm, each in zip(arms, found, strict=True)
    ]
    return Differences(differ, rows, [(k, found[0][k]) for k in keys if k not in differ])
