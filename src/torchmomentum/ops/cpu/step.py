"""One step of a stream on the compiled kernels, without gradients and in one call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import check_tensors
from torchmomentum.ops._problem import Moments
from torchmomentum.ops.cells import Cell, State
from torchmomentum.ops.cpu.library import call

STEPPED = {"LSTM": 0, "GRU": 1, "RNN_TANH": 2, "RNN_RELU": 3}  # by the kernel's numbers


class Velocity(NamedTuple):
    """A rule that is a velocity and nothing else: ``v' = mu v + gain d``.

    Attributes:
        velocity: ``(B, G H)``.
        mu: Momentum, a number or a scalar tensor.
        gain: What the drive is scaled by, likewise.
    """

    velocity: Tensor
    mu: float | Tensor
    gain: float | Tensor


def step(
    cell: Cell,
    x: Tensor,
    state: State,
    weight_ih: Tensor | None,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    rule: Velocity | Moments | None = None,
) -> State:
    """One step, of what :func:`torchmomentum.ops.compiled_step_serves`.

    Args:
        cell: One of :data:`STEPPED`.
        x: The input, ``(B, I)``; without a ``weight_ih`` what a rule made of the drives,
            ``(B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weight_ih: ``(G H, I)``, or None.
        weight_hh: ``(G H, H)``.
        bias_ih: ``(G H,)``, or None.
        bias_hh: ``(G H,)``, or None.
        rule: What the drives go through; its velocity and root are left as they are.

    Returns:
        The state, and with a rule its new velocity and, of moments, the new root.

    Raises:
        ValueError: A shape that does not fit the others: the kernel reads memory by them.
    """
    velocity: Tensor | None
    rms: Tensor | None
    velocity, rms, numbers = None, None, (0.0, 0.0, 0.0, 0.0)
    if isinstance(rule, Velocity):
        velocity, numbers = rule.velocity, (float(rule.mu), float(rule.gain), 0.0, 0.0)
    elif rule is not None:
        velocity, rms = rule.velocity, rule.rms
        numbers = float(rule.mu), float(rule.gain), float(rule.beta), float(rule.eps)
    h, c = state if len(state) == 2 else (state[0], None)
    (batch, hidden), inputs = h.shape, x.shape[1]
    width = cell.gates * hidden
    check_tensors(
        [
            ("state", c, (batch, hidden), None),
            ("weight_hh", weight_hh, (width, hidden), None),
            ("weight_ih", weight_ih, (width, inputs), None),
            ("x", x, (batch, width if weight_ih is None else inputs), None),
            ("bias_ih", bias_ih, (width,), None),
            ("bias_hh", bias_hh, (width,), None),
            ("moments", velocity, (batch, width), None),
            ("moments", rms, (batch, width), None),
        ],
        x.dtype,
    )
    held = [x if x is None else x.contiguous() for x in (h, c, velocity, rms)]
    new = [x if x is None else torch.empty_like(x) for x in held]
    tensors = weight_ih, bias_ih, weight_hh, bias_hh
    weights = [x if x is None else x.contiguous() for x in tensors]
    sizes = STEPPED[cell.key], batch, inputs, hidden, torch.get_num_threads()
    call("cell_step", *sizes, x.contiguous(), *weights, *held, *new, *numbers)
    return tuple([each for each in new if each is not None])
