"""The definition of every recurrence: one step after the other, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from torchmomentum.ops._lengths import steps_alive
from torchmomentum.ops._loop import along_time
from torchmomentum.ops._modifiers import PLAIN, Modifiers
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cells import Cell, State, Weights, find
from torchmomentum.ops.filters.adam import adam_scan_definition, largest_drive
from torchmomentum.ops.filters.linear import linear_scan_definition


def named_weights(cell: Cell, weights: Sequence[Tensor | None]) -> Weights:
    """``weight_hh``, ``bias_hh`` and the extra weights in the cell's order, by their names.

    Raises:
        ValueError: ``weight_hh`` is absent, or there are more weights than the cell has.
    """
    weight_hh, bias_hh, *more = (*weights, None)[: max(2, len(weights))]
    if weight_hh is None:
        raise ValueError(f"{cell.name} needs a weight_hh")
    if len(more) > len(cell.extra):
        raise ValueError(
            f"{cell.name} has {2 + len(cell.extra)} recurrent weights, got {2 + len(more)}"
        )
    extra: dict[str, Tensor] = {}
    for place, weight in enumerate(more):
        if weight is not None:
            extra[cell.extra[place].name] = weight
    return Weights(weight_hh, bias_hh, extra)


def _steps(
    cell: Cell,
    pre: Tensor,
    state: State,
    weights: Weights,
    mask: Tensor | None,
    modifiers: Modifiers,
) -> State:
    count, mu = len(state), modifiers.momenta(pre.shape[0], pre.dtype)
    previous = () if mu is None or modifiers.previous is None else (modifiers.previous,)

    def step(carry: State, at: Mapping[str, Tensor]) -> tuple[State, Tensor]:
        state, before = carry[:count], carry[count:]
        operand = modifiers.operand(state[0], before[0] if before else None, at.get("mu"))
        new = cell.step(at["pre"], state, weights, operand, modifiers)
        new = modifiers.zoned(new, state, at.get("zone_h"), at.get("zone_c"))
        if "alive" in at:
            new = tuple(torch.where(at["alive"], a, b) for a, b in zip(new, state, strict=True))
        return (*new, *state[: len(before)]), new[0]

    zones = {"zone_h": modifiers.zoneout_h, "zone_c": modifiers.zoneout_c}
    sequences = {"pre": pre, "mu": mu, "alive": mask, **zones}
    outputs, last = along_time(step, (*state, *previous), sequences)
    return outputs, *last[:count]


def scan_definition(
    cell: Cell | str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    mask: Tensor | None = None,
    modifiers: Modifiers = PLAIN,
) -> State:
    """A recurrence in plain PyTorch, one step after the other.

    Args:
        cell: The cell, or its name.
        pre: Pre-activations, ``(T, B, G H)``.
        state: The cell's states, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None, and the cell's extra weights in its order.
        mask: True where a step counts, ``(T, B, 1)``; the state stays as it is elsewhere.
        modifiers: What changes the plain recurrence.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.
    """
    cell = find(cell) if isinstance(cell, str) else cell
    return _steps(cell, pre, state, named_weights(cell, weights), mask, modifiers)


def define(problem: Problem) -> State:
    """What a problem's results are, by the definitions of the rule and the cell."""
    pre, lengths, last = problem.x, problem.lengths, list[Tensor]()
    mask = None if lengths is None else steps_alive(len(pre), lengths)
    bias: Tensor | None = problem.bias_ih
    if problem.velocity is not None and bias is not None:
        velocity, mu, gain = problem.velocity.velocity, problem.velocity.mu, problem.velocity.gain
        bound = largest_drive(pre, float(gain))
        drives = pad(pre, (0, 1), value=1.0)
        pre = linear_scan_definition(drives, mu, velocity, float(gain), bound=bound)
        last, pre, bias = [pre[-1]], pre[..., :-1], pre[..., -1:] * bias
    if problem.weight_ih is not None:
        pre = linear(pre, problem.weight_ih)
    if bias is not None:
        pre = pre + bias
    if problem.moments is not None:
        velocity, rms, mu, gain, beta, eps, _ = problem.moments
        mu, gain = (torch.as_tensor(s, dtype=pre.dtype, device=pre.device) for s in (mu, gain))
        pre, *last = adam_scan_definition(pre, velocity, rms, mu, gain, mask, beta, eps)
    weights = problem.weights()
    found = _steps(problem.cell, pre, problem.state, weights, mask, problem.modifiers)
    return *found, *last
