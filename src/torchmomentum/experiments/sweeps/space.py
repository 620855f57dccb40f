"""What is tried of each setting: listed values, or a range. No Optuna here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import setting
from torchmomentum.experiments.recipe import Training

_NOT_TRIED = ("task", "model", "models", "seed", "scale", "shared")
_DIGITS = 3  # of a value from a range: a difference that nobody tunes is not written either


@dataclass(frozen=True)
class Values:
    """Each of these.

    Attributes:
        values: Numbers, words or None.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len({*map(str, self.values)}) < len(self.values) or not self.values:
            raise UsageError(f"values to try must differ, got {', '.join(map(str, self.values))}")


@dataclass(frozen=True)
class Range:
    """All numbers between two.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether ratios count rather than differences.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise UsageError(f"a range LOW:HIGH must rise, got {self.low}:{self.high}")
        if self.log and self.low <= 0:
            raise UsageError(f"a logarithmic range must be positive, got {self.low}:{self.high}")

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holding(self, value: float) -> Range:
        """The range, widened to hold a value."""
        return Range(min(self.low, value), max(self.high, value), self.log and value > 0)

    def rounded(self, value: float) -> float:
        """A value of the range with few digits."""
        short = float(f"{value:.{_DIGITS}g}")
        return value if self.whole or not self.low <= short <= self.high else short


Space = Mapping[str, Values | Range]


def parse(texts: Sequence[str]) -> dict[str, Values | Range]:
    """``NAME=X,X,...`` lists values, ``NAME=LOW:HIGH`` is a range, ``NAME=LOW:HIGH:log`` of ratios.

    Raises:
        UsageError: One has another form, or a name stands there twice.

    Example:
        >>> parse(["lr=1e-4:1e-1:log", "mu=0.3,0.6"])["lr"]
        Range(low=0.0001, high=0.1, log=True)
    """
    found: dict[str, Values | Range] = {}
    for text in texts:
        name, _, given = text.partition("=")
        name = name.replace("-", "_")
        if not name or not given:
            raise UsageError(f"what to try is NAME=X,X,... or NAME=LOW:HIGH[:log], got {text}")
        if name in found:
            raise UsageError(f"{name} is given twice")
        if name in _NOT_TRIED:
            raise UsageError(f"{name} cannot be tried: it is what the trials have in common")
        try:
            found[name] = _range(name, given) if ":" in given else _values(name, given)
        except UsageError as error:
            raise UsageError(f"what to try of {name}: {error}") from error
    return found


def _values(name: str, given: str) -> Values:
    return Values(tuple(setting(f"{name}={value}")[1] for value in given.split(",")))


def _range(name: str, given: str) -> Range:
    ends, log = given.removesuffix(":log"), given.endswith(":log")
    pair = [setting(f"{name}={end}")[1] for end in ends.split(":")]
    if len(pair) != 2 or not all(type(end) in (int, float) for end in pair):
        raise UsageError(f"a range is LOW:HIGH or LOW:HIGH:log, got {given}")
    return Range(pair[0], pair[1], log)


# hyperparameters of rules and optimizers, wherever the recipe's own values lie
_HYPERPARAMETERS = {
    "mu": Range(0.0, 0.99),
    "step_size": Range(0.1, 10.0, log=True),
    "beta": Range(0.0, 0.999),
    "gain": Range(0.1, 30.0, log=True),
    "restart": Range(2, 200, log=True),
    "momentum": Range(0.0, 0.99),
    "restart_every": Range(10, 1000, log=True),
}
_RATES = 10.0  # the learning rate is tried from its tenth to its tenfold


def space_of(recipe: Training, fixed: Sequence[str] = ()) -> dict[str, Values | Range]:
    """What a comparison tunes of a training: the learning rate, and hyperparameters of momentum.

    Args:
        recipe: As it is without tuning; its own values are in each range.
        fixed: Settings that its name fixes.
    """
    found: dict[str, Values | Range] = {}
    lr = recipe.optimizer_options.get("lr")
    if lr is not None:
        found["lr"] = Range(lr / _RATES, lr * _RATES, log=True)
    for options in (recipe.model_options.get("rule", {}), recipe.optimizer_options):
        for name, value in options.items():
            if name in _HYPERPARAMETERS:
                of = _HYPERPARAMETERS[name]
                found[name] = of.holding(value) if isinstance(value, (int, float)) else of
    return {name: each for name, each in found.items() if name not in fixed}


def values_of(recipe: Training, space: Space) -> dict[str, Any]:
    """A training's own values of the settings of a space, where they are in it."""
    held = {
        **{name: getattr(recipe, name, None) for name in space},
        **recipe.task_options,
        **recipe.model_options,
        **recipe.model_options.get("rule", {}),
        **recipe.optimizer_options,
    }
    return {name: held[name] for name, of in space.items() if _is_in(held[name], of)}


def _is_in(value: Any, of: Values | Range) -> bool:
    if isinstance(of, Values):
        return value in of.values
    kinds = (int,) if of.whole else (int, float)
    return isinstance(value, kinds) and of.low <= value <= of.high
