"""Formats numbers and names for the cells of all tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torchmomentum.experiments.report.statistics import Difference, mean_and_std
from torchmomentum.experiments.result import Result, Results, ended

_FOLDER = re.compile(r"^.*/(?=[^/]+\.py:)")


def number(value: float) -> str:
    """Four decimals, or three digits of what is smaller than they show."""
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"


def signed(value: float) -> str:
    """A number with its sign."""
    return number(value) if value < 0 else f"+{number(value)}"


def spread(values: Sequence[float], form: Any = number) -> str:
    """Mean and standard deviation; "-" for no values."""
    if not values:
        return "-"
    mean, std = mean_and_std(values)
    return str(form(mean)) if std is None else f"{form(mean)} ± {form(std)}"


def interval(d: Difference, form: Any = signed) -> str:
    """A difference with its interval."""
    if d.low is None or d.high is None:
        return str(form(d.mean))
    return f"{form(d.mean)} [{form(d.low)}, {form(d.high)}]"


def counted(number: int, thing: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "run"), counted(2, "run"), counted(2, "study")
        ('1 run', '2 runs', '2 studies')
    """
    several = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number} {thing if number == 1 else several}"


def printed(mean: float, deviation: float | None) -> str:
    """A published mean, with its deviation where there is one, to two decimals."""
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def diverged(runs: Sequence[Result]) -> str:
    """How many runs did not come to their end; empty for none."""
    lost = len(runs) - len(ended(runs))
    return f"diverged: {lost} of {len(runs)}" if lost else ""


def origin(results: Results) -> str:
    """The machines and versions that the runs were computed by, and the dates of them."""
    known = [run.provenance for run in results.runs if run.provenance] or [results.provenance]
    where = dict.fromkeys(f"{o['cpu']}, {o['gpu'] or 'no GPU'}" for o in known)
    versions = dict.fromkeys(
        f"Python {o['python']}, torch {o['torch']}, torchmomentum {o['torchmomentum']}"
        for o in known
    )
    dates = sorted(o["date"][:10] for o in known)
    days = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{' and '.join(where)}; {' and '.join(versions)}; {days}"


def seeds(results: Results) -> str:
    """The seeds by number."""
    return ", ".join(map(str, results.seeds))


def seed_count(results: Results) -> str:
    """How many seeds there are."""
    return counted(len(results.seeds), "seed")


def trained(results: Results) -> str:
    """The seeds by number, and the epochs."""
    epochs = dict.fromkeys(run.recipe["epochs"] for run in results.runs if "epochs" in run.recipe)
    told = ", ".join(map(str, epochs))
    return f"Seeds {seeds(results)}; {told} epoch{'s' * (told != '1')}"


def _shown(value: Any, of: Sequence[Any]) -> str:
    """A value of an axis; FOLDER/FILE.py:NAME without its folder where that stays unambiguous."""
    whole = [str(each) for each in of]
    short = [_FOLDER.sub("", each) for each in whole]
    return _FOLDER.sub("", str(value)) if len({*short}) == len({*whole}) else str(value)


def arm_name(results: Results, arm: dict[str, Any]) -> str:
    """An arm in words: the values of the axes that vary."""
    return arm_words(results.axes, arm)


def arm_words(axes: Mapping[str, Sequence[Any]], arm: Mapping[str, Any]) -> str:
    """An arm in words, among the values on the axes."""
    several = [axis for axis, values in axes.items() if len(values) > 1]
    shown = several or list(axes)[:1]
    words = []
    for axis in shown:
        value = _shown(arm[axis], axes[axis])
        words.append(value if axis in ("model", "method", "optimizer") else f"{axis} {value}")
    return ", ".join(words)
