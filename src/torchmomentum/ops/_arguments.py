"""The arguments that every operator over pre-activations takes, by name and as a schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum.ops._options import (
    CONSTANT_SCHEMA,
    TENSOR_SCHEMA,
    TENSORS,
    Expected,
    Options,
    require,
)
from torchmomentum.ops._steps import GATES, State, scan_definition, steps_alive

_AFTER_STATES = 4 + TENSORS  # weights, lengths and the options' tensors


class Arguments(NamedTuple):
    """What a recurrence reads; ``third`` is an LSTM's ``weight_hr`` or modReLU's bias."""

    pre: Tensor
    state: State
    weight_hh: Tensor
    bias_hh: Tensor | None
    third: Tensor | None
    lengths: Tensor | None
    options: Options
    mode: str
    train: bool

    @classmethod
    def named(cls, args: Sequence[Any]) -> Arguments:
        """From an operator's arguments in order."""
        states = len(args) - _COUNT
        state, rest = tuple(args[1 : 1 + states]), args[1 + states :]
        besides, (mode, train, *numbers) = rest[4:_AFTER_STATES], rest[_AFTER_STATES:]
        options = Options(*besides, *numbers)
        return cls._make((args[0], state, *rest[:4], options, mode, train))

    def to(self, dtype: torch.dtype) -> Arguments:
        """The same with all tensors of floating point in one type."""
        return self._replace(
            pre=self.pre.to(dtype),
            state=tuple(x.to(dtype) for x in self.state),
            weight_hh=self.weight_hh.to(dtype),
            bias_hh=None if self.bias_hh is None else self.bias_hh.to(dtype),
            third=None if self.third is None else self.third.to(dtype),
            options=self.options.to(dtype),
        )

    def check(self) -> None:
        """Holds everything to the shapes and types that follow from the pre-activations.

        Raises:
            ValueError: A number of states or weights, or a shape, that does not fit.
            TypeError: A tensor of another type.
        """
        time, batch, rows = self.pre.shape
        states = 2 if self.mode == "LSTM" else 1
        if len(self.state) != states:
            raise ValueError(f"{self.mode} has {states} state(s), got {len(self.state)}")
        if self.mode == "RNN_MODRELU" and self.third is None:
            raise ValueError("RNN_MODRELU needs its bias behind weight_hh and bias_hh")
        if self.mode not in ("LSTM", "RNN_MODRELU") and self.third is not None:
            raise ValueError(f"{self.mode} has no third weight")
        size = rows // GATES[self.mode]
        projected = self.mode == "LSTM" and self.third is not None
        h = self.third.shape[0] if projected and self.third is not None else size
        expected: list[Expected] = [
            ("weight_hh", self.weight_hh, (rows, h), None),
            ("bias_hh", self.bias_hh, (rows,), None),
            ("weight_hr", self.third if projected else None, (h, size), None),
            ("bias_modrelu", None if projected else self.third, (size,), None),
            *(
                ("state", s, (batch, width), None)
                for s, width in zip(self.state, (h, size), strict=False)
            ),
            ("lengths", self.lengths, (batch,), torch.int64),
            *self.options.expected(time, batch, h, size, rows),
        ]
        require(expected, self.pre.dtype)

    def flat(self) -> tuple[Any, ...]:
        """An operator's arguments in order."""
        tensors, numbers = self.options[:TENSORS], self.options[TENSORS:]
        weights = self.weight_hh, self.bias_hh, self.third, self.lengths
        return self.pre, *self.state, *weights, *tensors, self.mode, self.train, *numbers


_COUNT = 1 + _AFTER_STATES + 2 + len(Options._fields) - TENSORS  # but for the states
SCHEMA_CONSTANTS = f"str mode, bool train, {CONSTANT_SCHEMA}"


def schema(states: int) -> str:
    """The operator's tensor arguments, for so many states."""
    given = "".join(f"Tensor state_{i}, " for i in range(states))
    weights = "Tensor weight_hh, Tensor? bias_hh, Tensor? third, Tensor? lengths"
    return f"Tensor pre, {given}{weights}, {TENSOR_SCHEMA}"


def definition(*args: Any) -> State:
    """:func:`scan_definition` of an operator's arguments."""
    given = Arguments.named(args)
    mask = None if given.lengths is None else steps_alive(len(given.pre), given.lengths)
    weights = [given.weight_hh, given.bias_hh]
    if given.mode in ("LSTM", "RNN_MODRELU"):
        weights.append(given.third)
    return scan_definition(given.mode, given.pre, given.state, weights, mask, given.options)


def fake_outputs(given: Arguments) -> State:
    """The shapes of the outputs and of the last state."""
    out = given.pre.new_empty(*given.pre.shape[:-1], given.state[0].shape[-1])
    return out, *(s.new_empty(s.shape) for s in given.state)


def train_of(tensors: Sequence[Any]) -> bool:
    """Whether a gradient may be asked for, as far as a forward can see."""
    return torch.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for t in tensors
    )
