"""The minimal gated recurrent unit, whose gate does not read the state: one scan over time."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import Cell, State, Weights, register
from torchmomentum.ops.filters.linear import linear_scan


def _gated(pre: Tensor) -> tuple[Tensor, Tensor]:
    """What a step adds to the state, and how much of the state it keeps; in float32 at least."""
    gate, candidate = pre.to(torch.promote_types(pre.dtype, torch.float32)).chunk(2, -1)
    return torch.sigmoid(gate) * candidate, torch.sigmoid(-gate)


def _step(
    pre: Tensor, state: State, weights: Weights, operand: Tensor, modifiers: Modifiers
) -> State:
    added, kept = _gated(pre)
    return ((kept * state[0] + added).to(pre.dtype),)


def _scan(
    pre: Tensor, state: State, weights: Weights, lengths: Tensor | None
) -> tuple[Tensor, ...]:
    added, kept = _gated(pre)
    out = linear_scan(added, kept, state[0], lengths=lengths).to(pre.dtype)
    return out, out[-1]


MINGRU = register(Cell("MINGRU", gates=2, step=_step, norms=(), scan=_scan))
