"""A study is data: what varies, how many seeds, what is measured, which table and figure.

Its arms are all combinations of the values on its axes; the first value of each axis makes the
baseline. One function turns an arm's settings and a seed into a :class:`~.recipe.Recipe`, which the
engine computes, whatever it is. No torch here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.registry import attribute

if TYPE_CHECKING:
    from torchmomentum.experiments.studies.tuning import Tuning

SCALES = ("smoke", "desk", "paper")
FRESH = 1000  # the first seed of trials: a study's own seeds begin at 0
Settings = Mapping[str, Any]
Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Scale:
    """How much of a study is run: what differs from the study itself.

    Attributes:
        settings: Of all arms.
        axes: Other values of some axes.
        seeds: How many; None for the study's own.
        arms: Other arms than the study's.
        note: In words what is smaller than in the study itself.
    """

    settings: Settings = field(default_factory=dict)
    axes: Axes = field(default_factory=dict)
    seeds: int | None = None
    arms: Sequence[Settings] = ()
    note: str = ""


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        arm: The value of each axis.
        seed: Its place among the repetitions.
        recipe: What to compute.
    """

    arm: dict[str, Any]
    seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Study:
    """Runs, and what is made of them.

    Attributes:
        name: What it is called.
        title: What it shows.
        recipe: ``"module:function"``: ``function(settings, seed)`` makes the recipe of an arm;
            settings are the study's, the scale's, the user's and the arm's, the later the stronger.
        axes: What varies, in order: the values of each, in all combinations.
        arms: The combinations, where they are not all; then ``axes`` is empty.
        settings: What all arms have in common.
        seeds: Repetitions.
        scales: Smaller or larger editions; without any there is one, called ``paper``.
        scale: The edition by default.
        metric: What is measured, in words.
        higher_is_better: Which way it improves; None where that is not the question.
        table: Of :data:`~.registry.TABLES`: ``function(results)``.
        figure: Of :data:`~.registry.FIGURES`: ``function(results, folder)``; None for none.
        view: What table and figure need besides the runs.
        options: The settings that a user may change: on the command line by an option of
            ``reproduce``, or ``--set NAME=VALUE``.
        shown: ``"module:function"``: ``function(recipe)`` gives the values of axes that only the
            recipe knows; empty for none.
        tuning: What is tuned of each model before they are compared, see
            :func:`~.studies.tuning.tuned`; None for nothing.
        derive: ``"module:function"``: ``function(results)`` gives what is added to ``view`` once
            all runs are there; empty for nothing.
    """

    name: str
    title: str
    recipe: str
    axes: Axes = field(default_factory=dict)
    arms: Sequence[Settings] = ()
    settings: Settings = field(default_factory=dict)
    seeds: int = 1
    scales: Mapping[str, Scale] = field(default_factory=dict)
    scale: str = "paper"
    metric: str = ""
    higher_is_better: bool | None = None
    table: str = ""
    figure: str | None = None
    view: Settings = field(default_factory=dict)
    options: Sequence[str] = ()
    shown: str = ""
    derive: str = ""
    tuning: Tuning | None = None

    def edition(self, scale: str | None) -> tuple[str, Scale]:
        """A scale by its name; None for the default.

        Raises:
            UsageError: The study has no such scale.
        """
        name = self.scale if scale is None else scale
        if not self.scales and name == "paper":
            return name, Scale()
        return name, self.scales[check_name("scale", name, self.scales or ("paper",))]

    def plan(
        self,
        scale: str | None = None,
        *,
        seeds: int | None = None,
        first: int = 0,
        axes: Axes | None = None,
        changes: Settings | None = None,
    ) -> list[Run]:
        """All runs, seed by seed, the baseline first.

        Args:
            scale: A name of ``scales``.
            seeds: How many; None for the scale's.
            first: The first of them; the others follow.
            axes: Other values of some axes.
            changes: Settings that the user chose.

        Raises:
            UsageError: An unknown name, or a value out of its range.
        """
        _, edition = self.edition(scale)
        count = next(n for n in (seeds, edition.seeds, self.seeds) if n is not None)
        if count < 1:
            raise UsageError(f"seeds must be at least 1, got {count}")
        given = {**self.axes, **edition.axes, **(axes or {})}
        listed = edition.arms or self.arms
        if listed and given:
            axis = next(iter(given))
            raise UsageError(f"{self.name} has rows of its own, not all values of {axis}")
        for name, values in given.items():
            if len({*map(str, values)}) < len(values):
                raise UsageError(f"{name} lists a value twice: {', '.join(map(str, values))}")
        make: Callable[[Settings, int], Recipe] = attribute(self.recipe)
        settings = {**self.settings, **edition.settings, **(changes or {})}
        runs = []
        from torchmomentum.experiments.digest import remembered

        combinations = itertools.product(*given.values())
        arms = listed or [dict(zip(given, values, strict=True)) for values in combinations]
        with remembered():
            for seed, arm in itertools.product(range(first, first + count), arms):
                made = make({**settings, **arm}, seed)
                shown = attribute(self.shown)(made) if self.shown else {}
                runs.append(Run({**arm, **shown}, seed, made))
        return runs
