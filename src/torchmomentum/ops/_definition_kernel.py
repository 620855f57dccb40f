"""The definition of every recurrence as an operator, for what no other kernel serves.

Nothing is kept but the arguments: the backward runs the definition again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._arguments import (
    SCHEMA_CONSTANTS,
    Arguments,
    definition,
    fake_outputs,
    schema,
)
from torchmomentum.ops._library import define_recurrence, differentiation, vector_jacobian_product
from torchmomentum.ops._steps import State


def _forward(*args: Any) -> State:
    with torch.no_grad():
        return tuple(x.clone() for x in definition(*args))  # none a view of another


def _backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[Any],
) -> list[Tensor]:
    with differentiation():
        return vector_jacobian_product(lambda *x: definition(*x, *constants), tensors, grads)


def _define(name: str, states: int) -> Any:
    return define_recurrence(
        name,
        arguments=schema(states),
        constants=SCHEMA_CONSTANTS,
        outputs=1 + states,
        definition=definition,
        forward=_forward,
        backward=_backward,
        fake=lambda *args: fake_outputs(Arguments.named(args)),
    )


_OPERATORS = {1: _define("scan_recomputed", 1), 2: _define("lstm_scan_recomputed", 2)}


def scan_recomputed(given: Arguments) -> State:
    """:func:`scan_definition` as an operator."""
    results: State = _OPERATORS[len(given.state)](*given.flat())
    return results
