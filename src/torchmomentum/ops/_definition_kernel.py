"""The definition of every recurrence as an operator, for what no other kernel serves.

Nothing is kept but the arguments: the backward runs the definition again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._library import (
    define_recurrence,
    differentiation,
    vector_jacobian_product,
)
from torchmomentum.ops._options import CONSTANT_SCHEMA, TENSOR_SCHEMA, TENSORS, Options
from torchmomentum.ops._steps import State, scan_definition

_WEIGHTS = 3


def _define(name: str, states: int) -> Any:
    def definition(*args: Any) -> State:
        pre, state, rest = args[0], args[1 : 1 + states], args[1 + states :]
        weights, mask, rest = rest[:_WEIGHTS], rest[_WEIGHTS], rest[_WEIGHTS + 1 :]
        mode, *numbers = rest[TENSORS:]
        options = Options(*rest[:TENSORS], *numbers)
        used = weights if mode in ("LSTM", "RNN_MODRELU") else weights[:2]
        return scan_definition(mode, pre, state, used, mask, options)

    def forward(*args: Any) -> State:
        with torch.no_grad():
            return tuple(x.clone() for x in definition(*args))  # none a view of another

    def backward(
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        constants: Sequence[Any],
    ) -> list[Tensor]:
        with differentiation():
            return vector_jacobian_product(lambda *x: definition(*x, *constants), tensors, grads)

    def fake(*args: Any) -> State:
        pre, state = args[0], args[1 : 1 + states]
        return pre.new_empty(pre.shape[0], *state[0].shape), *(s.new_empty(s.shape) for s in state)

    return define_recurrence(
        name,
        arguments="Tensor pre, "
        + "".join(f"Tensor state_{i}, " for i in range(states))
        + f"Tensor weight_hh, Tensor? bias_hh, Tensor? third, Tensor? mask, {TENSOR_SCHEMA}",
        constants=f"str mode, {CONSTANT_SCHEMA}",
        outputs=1 + states,
        definition=definition,
        forward=forward,
        backward=backward,
        fake=fake,
    )


_OPERATORS = {1: _define("scan_recomputed", 1), 2: _define("lstm_scan_recomputed", 2)}


def scan_recomputed(
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    mask: Tensor | None,
    options: Options,
) -> State:
    """:func:`scan_definition` as an operator."""
    missing = [None] * (_WEIGHTS - len(weights))
    tensors, numbers = options[:TENSORS], options[TENSORS:]
    results: State = _OPERATORS[len(state)](
        pre, *state, *weights, *missing, mask, *tensors, mode, *numbers
    )
    return results
