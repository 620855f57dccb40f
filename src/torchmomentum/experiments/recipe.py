"""A recipe: all that one run depends on, as plain data. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from torchmomentum.experiments.registry import attribute

if TYPE_CHECKING:
    from torchmomentum.experiments.engine.place import Place

DEVICES = ("cpu", "cuda")
PRECISIONS = ("float32", "bfloat16", "float16", "float64")
STRATEGIES = ("ddp", "fsdp2")
ON_NONFINITE = ("raise", "skip")


def key_of(values: Mapping[str, Any]) -> str:
    """The hash of a recipe's plain values."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Recipe:
    """Two equal recipes give equal numbers on a CPU. A subclass says what is computed, and where.

    Attributes:
        computation: ``"module:function"``: ``function(recipe, place, tell)`` computes the
            :class:`~.result.Result`.
        checking: ``"module:function"``: ``function(recipe, place)`` rejects what cannot be run
            here; empty for nothing to check.
        alone: Whether it measures the machine, and is to have it for itself.
        later: Fields that recorded recipes had not: left out where they have their default, so that
            recorded runs are found.
    """

    computation: ClassVar[str] = ""
    checking: ClassVar[str] = ""
    alone: ClassVar[bool] = False
    later: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        values = json.loads(json.dumps(asdict(self)))  # tuples as lists
        for each in fields(self):
            if each.name in self.later and getattr(self, each.name) == each.default:
                del values[each.name]
        return {"kind": type(self).__name__, **values}

    @property
    def key(self) -> str:
        """The hash of the recipe: what its run is found by."""
        return key_of(self.to_dict())

    @property
    def label(self) -> str:
        """A few words for a person, the beginning of its folder's name."""
        return type(self).__name__.lower()

    @property
    def folder(self) -> str:
        """The name of its folder among others."""
        return f"{self.label}-{self.key}"

    def check(self, place: Place) -> None:
        """Rejects what cannot be run here, before anything is written.

        Raises:
            UsageError: A value is out of its range, or data is missing.
        """
        if self.checking:
            attribute(self.checking)(self, place)


@dataclass(frozen=True)
class Training(Recipe):
    """One training.

    Attributes:
        task: Its name, or ``file.py:Name``.
        model: Its name, or ``file.py:Name``.
        optimizer: Its name, or ``file.py:Name``.
        task_options: What the task takes: ``length``, ``permutation_seed``, ``train_limit``...
        model_options: What the model takes: ``hidden_size``, ``init``, ``depth``, and under
            ``rule`` the hyperparameters of a momentum rule.
        optimizer_options: What the optimizer takes: ``lr``, ``momentum``, ``weight_decay``...
        schedule: What changes from epoch to epoch, see :class:`~.engine.optimizers.Schedule`;
            empty for nothing.
        sources: Checksums of the user's files that it names.
        batch_size: Samples of a step, on all devices together.
        epochs: Passes over the training batches.
        clip: Largest norm of the gradient; None does not clip.
        evaluate_every: Epochs between evaluations; the last has one always.
        order_seed: Fixes the order of the data, its augmentation and what is generated.
        init_seed: Fixes the initial weights.
        device: A name of :data:`DEVICES`.
        devices: How many of a machine train the run together.
        precision: A name of :data:`PRECISIONS`; ``bfloat16`` and ``float16`` are autocast's.
        compile: Compiles the model.
        threads: CPU threads.
        on_nonfinite: Of :data:`ON_NONFINITE`: a step whose loss is not finite ends the run, or a
            step whose loss or gradient is not finite changes nothing.
        nodes: How many machines train the run together.
        strategy: A name of :data:`STRATEGIES`: each device has all parameters, or its share.
        accumulate: Passes whose gradients make a step.
    """

    computation: ClassVar[str] = "torchmomentum.experiments.engine.training:train"
    checking: ClassVar[str] = "torchmomentum.experiments.engine.training:check"
    later: ClassVar[tuple[str, ...]] = (*("on_nonfinite", "nodes", "strategy", "accumulate"),)

    task: str
    model: str
    optimizer: str
    task_options: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 32
    epochs: int = 1
    clip: float | None = None
    evaluate_every: int = 1
    order_seed: int = 0
    init_seed: int = 0
    device: str = "cpu"
    devices: int = 1
    precision: str = "float32"
    compile: bool = False
    threads: int = 1
    on_nonfinite: str = "raise"
    nodes: int = 1
    strategy: str = "ddp"
    accumulate: int = 1

    @property
    def label(self) -> str:
        """Task, model and seed."""
        words = (self.task, self.model, self.optimizer)
        short = (word.rpartition(":")[2] for word in words)
        return "-".join([*short, f"seed-{self.init_seed}"])
