"""What a task is: a name's data, and the recipe that it is trained by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import TASKS

# of rules for tasks that the MomentumRNN paper has not: constant momentum keeps the drive's scale
GAINS_OF_ONE: Mapping[str, Mapping[str, Any]] = {
    "momentum": {"mu": 0.6, "step_size": 0.4},
    "nag": {"step_size": 0.4},
    "sr": {"step_size": 0.4, "restart": 40},
    "adam": {"mu": 0.6, "step_size": 0.4, "beta": 0.9},
    "rmsprop": {"step_size": 1.0, "beta": 0.9},
}
Exceptions = tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...]


class Task:
    """A task: subclass it, say what it is, and give :meth:`load`.

    Attributes:
        title: A few words for tables and help.
        source: Where the recipe's numbers are from.
        metric: What is reported.
        higher_is_better: Which way it improves.
        options: What the task takes, with the defaults.
        recipe: What it is trained by: fields of :class:`~.recipe.Training`, options of the
            optimizer (``lr``) and of the model (``hidden_size``, ``init``, ``forget_bias``).
        scales: What differs from the recipe at the scales ``smoke``, ``desk`` and ``paper``.
        cells: What differs from the recipe for a cell: ``dtriv``.
        rules: The hyperparameters of momentum rules, by the rule's name: ``momentum``, or
            ``momentum-dtriv`` where a cell has its own.
        exceptions: What differs for other sizes: ``(rule or cell, sizes, what differs)``.
    """

    title: ClassVar[str] = ""
    source: ClassVar[str] = "own"
    metric: ClassVar[str] = "loss"
    higher_is_better: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Mapping[str, Any]] = {}
    scales: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    cells: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    rules: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    exceptions: ClassVar[Exceptions] = ()

    def load(self, recipe: Training, folder: Path, *, offline: bool = False) -> Data:
        """The data.

        Args:
            recipe: The run's: ``recipe.task_options``, ``recipe.batch_size``,
                ``recipe.order_seed``.
            folder: The data folder.
            offline: Does not download what is missing.

        Raises:
            UsageError: Data that is missing or damaged, or sizes that do not fit it.
        """
        raise NotImplementedError

    def check_data(self, folder: Path, *, offline: bool = False) -> None:
        """Looks whether the data is there, without reading it.

        Raises:
            UsageError: It is missing, and cannot be downloaded.
        """

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Rejects options out of their range.

        Raises:
            ValueError: One is.
            TypeError: One has another type.
        """

    def sources(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Checksums of the files that the task's options name, by name: part of the recipe.

        Raises:
            UsageError: One is not there.
        """
        return {}

    def rule_options(
        self, rule: str, sizes: Mapping[str, Any], cell: str | None = None
    ) -> dict[str, Any]:
        """The hyperparameters of a rule for this task at these sizes.

        The paper prints one form of its SRLSTM and released another: both have the same numbers.
        """
        rule = rule.removeprefix("released-")
        name = f"{rule}-{cell}" if f"{rule}-{cell}" in self.rules else rule
        return {**self.rules.get(name, {}), **self._exceptions(name, sizes)}

    def recipe_of(self, cell: str | None, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """What a cell is trained by at these sizes, its task's options among it."""
        found = {**self.options, **self.recipe, **self.cells.get(cell or "", {})}
        return found | self._exceptions(cell or "", {**found, **sizes})

    def _exceptions(self, name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for which, test, difference in self.exceptions:
            if which == name and all(sizes.get(k) == v for k, v in test.items()):
                found.update(difference)
        return found


def task_of(name: str) -> Task:
    """A task by its name.

    Raises:
        UsageError: There is none, or it is something else.
    """
    found = TASKS.find(name)
    task = found() if isinstance(found, type) else found
    if not isinstance(task, Task):
        raise UsageError(f"task {name} must be a subclass of Task, got {found!r}")
    return task
