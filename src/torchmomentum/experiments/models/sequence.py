"""A recurrent layer and a linear readout: every rule with every cell, and every cell without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

import torchmomentum.nn as tnn
from torchmomentum._checks import check_choice
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.models._model import Model
from torchmomentum.experiments.models.controls import Standardize
from torchmomentum.experiments.registry import RULES
from torchmomentum.ops import last_alive

_SIZE: Mapping[str, Any] = {"hidden_size": 64}
_INIT: Mapping[str, Any] = {"init": "torch", "forget_bias": 2.0}
# paper's with an identity in each gate; either with drives whose root mean square is one
INITS = ("torch", "paper", "paper-gates", "torch-unit", "paper-unit")


def one_group(options: Mapping[str, Any], model: nn.Module) -> list[dict[str, Any]]:
    """A model's parameters as one group for the optimizer."""
    return [{"params": list(model.parameters())}]


@dataclass(frozen=True)
class CellKind:
    """A kind of recurrent layer.

    Attributes:
        layer: Ours, which takes ``momentum=``.
        baseline: What stands for it without a rule: torch's own, where there is one.
        options: What a model of it takes beside ``hidden_size``.
        settings: ``settings(options)`` gives the arguments of the layer that these mean.
        groups: ``groups(options, model)`` gives the optimizer's groups of a model's parameters.
    """

    layer: Callable[..., nn.Module]
    baseline: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=lambda: _INIT)
    settings: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda options: {}
    groups: Callable[[Mapping[str, Any], nn.Module], list[dict[str, Any]]] = one_group


def cell_kind(entry: Any) -> CellKind:
    """What is registered as a cell: a kind, or a layer's class, which then is its own baseline."""
    return entry if isinstance(entry, CellKind) else CellKind(entry, entry)


LSTM = CellKind(tnn.LSTM, nn.LSTM)
GRU = CellKind(tnn.GRU, nn.GRU)
RNN = CellKind(tnn.RNN, nn.RNN)


class SequenceModel(nn.Module):
    """A recurrent layer, then a linear readout of its last output or of all of them.

    Args:
        layer: Time-major, with a ``hidden_size``.
        output_size: Outputs.
        each_step: Whether of every step.
        standardize: What the input goes through first, if anything.
        groups: Gives the optimizer's groups of its parameters; None for one of all.
    """

    def __init__(
        self,
        layer: nn.Module,
        output_size: int,
        each_step: bool,
        standardize: nn.Module | None = None,
        groups: Callable[[nn.Module], list[dict[str, Any]]] | None = None,
    ) -> None:
        super().__init__()
        self.layer = layer
        hidden: Any = layer.hidden_size
        self.readout = nn.Linear(hidden, output_size)
        self.each_step = each_step
        self.standardize = standardize
        self._groups = groups or partial(one_group, {})

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimizer: all parameters, or some with settings of their own."""
        return self._groups(self)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """``(T, B, I)``, and lengths ``(B,)``, to ``(B, O)``, or to ``(T, B, O)``."""
        if self.standardize is not None:
            x = self.standardize(x, lengths)
        # Torch's own is slower for a packed sequence, and what follows a sequence's end reaches
        # none of its outputs.
        torchs = isinstance(self.layer, (nn.LSTM, nn.GRU, nn.RNN))
        given = {} if lengths is None or torchs else {"lengths": lengths}
        out = self.layer(x, **given)[0]
        if not self.each_step:
            out = out[-1] if lengths is None else last_alive(out, lengths)
        result: Tensor = self.readout(out)
        return result


def rule_of(rule: str | None, options: Mapping[str, Any]) -> tnn.Rule | None:
    """A model's momentum rule, with the hyperparameters among its options."""
    made: tnn.Rule | None = None
    if rule is not None:
        made = RULES.find(rule)(**options.get("rule", {}))
    return made


def initialize(layer: nn.Module, options: Mapping[str, Any]) -> None:
    """Initializes a layer as the options ``init`` and ``forget_bias`` say."""
    init, _, how = options.get("init", "").partition("-")
    if init == "paper":
        identity = "gates" if how == "gates" else "stack"
        tnn.paper_init_(layer, options["forget_bias"], identity=identity)  # type: ignore[arg-type]


def check_init(options: Mapping[str, Any]) -> None:
    """Checks the option ``init``.

    Raises:
        ValueError: It is none of :data:`INITS`.
    """
    check_choice("init", options.get("init", INITS[0]), INITS)


def _build(
    cell: CellKind, rule: str | None, standardize: bool, data: Data, options: Mapping[str, Any]
) -> nn.Module:
    if not data.input_size:
        raise ValueError("it reads features, and this task has words: take a model of awd-lstm")
    size, settings = options["hidden_size"], cell.settings(options)
    if rule is None:
        layer = cell.baseline(data.input_size, size, **settings)
    else:
        momentum = rule_of(rule, options)
        layer = cell.layer(data.input_size, size, momentum=momentum, **settings)
    initialize(layer, options)
    if options.get("init", "").endswith("-unit"):
        inputs, _ = next(iter(data.train))
        batch = inputs if isinstance(inputs, tuple) else (inputs,)
        tnn.unit_rms_init_(layer, *batch)  # type: ignore[arg-type]
    before = Standardize(data.input_size) if standardize else None
    groups = partial(cell.groups, options)
    return SequenceModel(layer, data.output_size, data.each_step, before, groups)


def _check(cell: CellKind, rule: str | None, options: Mapping[str, Any]) -> None:
    rule_of(rule, options)
    if options["hidden_size"] < 1:
        raise ValueError(f"hidden_size must be at least 1, got {options['hidden_size']}")
    check_init(options)
    settings = cell.settings(options)
    if settings:  # the layer's own checks
        cell.layer(1, 2, **settings)


def sequence_model(cell: CellKind, rule: str | None, *, standardize: bool = False) -> Model:
    """A cell with a rule or without.

    Args:
        cell: Its kind.
        rule: A rule's name; its hyperparameters are the option ``rule``.
        standardize: Whether the input is standardized.
    """
    options = {**_SIZE, **cell.options, **({"rule": {}} if rule is not None else {})}
    build = partial(_build, cell, rule, standardize)
    return Model(build, options, rule, partial(_check, cell, rule))
