"""The one schema of what was computed: a run's :class:`Result`, and a study's :class:`Results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean
from typing import Any

from torchmomentum.experiments.errors import UsageError

SCHEMA = 1
NONE_HELD_OUT = "tuning needs validation samples, and this task holds none out"


def _checked(kind: type, values: Any, where: str) -> dict[str, Any]:
    known = {f.name for f in fields(kind)} | {"schema"}
    if not isinstance(values, Mapping) or values.get("schema") != SCHEMA:
        raise UsageError(f"{where} is not a torchmomentum results file (schema {SCHEMA})")
    if set(values) != known:
        differ = ", ".join(sorted(set(values) ^ known))
        raise UsageError(f"{where} holds results of another form: {differ}")
    return {key: value for key, value in values.items() if key != "schema"}


@dataclass
class Result:
    """What one run gave.

    Attributes:
        recipe: All that it depends on: see :meth:`~.recipe.Recipe.to_dict`.
        values: Its numbers by name. A benchmark has one entry for each thing that it measured side
            by side, with numbers by name in it.
        curves: Columns of equal length: what was recorded along the way.
        costs: Seconds, bytes, parameters.
        failed: Why it has no values; None where it has.
        warning: What the reader of its values should know; None for nothing.
        arm: Which of a study's arms it is: the value of each axis. Empty outside of a study.
        seed: Its place among the repetitions.
        provenance: Where it was computed.
    """

    recipe: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None
    warning: str | None = None
    arm: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Any, where: str) -> Result:
        """From a file's values.

        Raises:
            UsageError: They are no result's; the message names ``where``.
        """
        return cls(**_checked(cls, values, where))


@dataclass
class Results:
    """What a study gave: all that its table and its figure are made of.

    Attributes:
        study: Its name.
        title: What it shows.
        scale: How much of it was run.
        axes: What varies between arms, and the values in order; the first of each is the baseline.
        seeds: The repetitions.
        metric: What is measured, in words.
        higher_is_better: Which way it improves; None where that is not the question.
        table: The name of its table, see :data:`~.registry.TABLES`.
        figure: The name of its figure, see :data:`~.registry.FIGURES`; None for none.
        view: What the table and the figure need besides the runs.
        runs: The results, seed by seed.
        jobs: Runs that were computed at the same time.
        provenance: Where and by which command it was put together.
    """

    study: str
    title: str
    scale: str
    axes: dict[str, list[Any]]
    seeds: list[int]
    metric: str
    higher_is_better: bool | None
    table: str
    figure: str | None
    view: dict[str, Any]
    runs: list[Result]
    jobs: int
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"schema": SCHEMA, **values, "runs": [run.to_dict() for run in self.runs]}

    @classmethod
    def from_dict(cls, values: Any, where: str) -> Results:
        """From a file's values.

        Raises:
            UsageError: They are no study's results; the message names ``where``.
        """
        found = _checked(cls, values, where)
        runs = [Result.from_dict(run, where) for run in found.pop("runs")]
        return cls(runs=runs, **found)

    def arms(self) -> list[dict[str, Any]]:
        """The arms in the order of their first runs."""
        found: list[dict[str, Any]] = []
        for run in self.runs:
            if run.arm not in found:
                found.append(run.arm)
        return found

    def has_validation(self) -> bool:
        """Whether any run was evaluated on validation samples."""
        return any("validation_metric" in run.curves for run in self.runs)

    def of(self, arm: Mapping[str, Any]) -> list[Result]:
        """The runs of one arm, in the order of the seeds."""
        return sorted((run for run in self.runs if run.arm == arm), key=lambda run: run.seed)


def ended(runs: Sequence[Result]) -> list[Result]:
    """The runs that came to their end."""
    return [run for run in runs if run.failed is None]


def values(runs: Sequence[Result], key: str) -> list[float]:
    """One value of each run."""
    return [run.values[key] for run in runs]


def validation_of(results: Sequence[Result]) -> float | None:
    """The mean of the validation metric at its best epoch; None where a run diverged.

    Raises:
        UsageError: Nothing is held out for validation.
    """
    if any(result.failed is not None for result in results):
        return None
    found = [result.values["chosen_validation"] for result in results]
    if None in found:
        raise UsageError(NONE_HELD_OUT)
    return fmean(found)
