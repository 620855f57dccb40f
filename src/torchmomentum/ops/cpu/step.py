"""One step on the compiled kernels in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum._checks import check_tensors
from torchmomentum.ops._problem import Moments, Velocity
from torchmomentum.ops.cells import Cell, State
from torchmomentum.ops.cpu.library import call, contiguous
from torchmomentum.ops.filters.adam import largest_drive

STEPPED = {"LSTM": 0, "GRU": 1, "RNN_TANH": 2, "RNN_RELU": 3}  # by the kernel's numbers
LARGEST = 2**16  # numbers of a step's gates, up to which this kernel is the faster one for a layer


def step(
    cell: Cell,
    x: Tensor,
    state: State,
    weight_ih: Tensor | None,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    rule: Velocity | Moments | None = None,
    before: Velocity | None = None,
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
        before: What ``[x; 1]`` goes through before ``[weight_ih, bias_ih]`` reads it, of a velocity
            ``(B, I + 1)``, which is left as it is.

    Returns:
        The state, and with a rule its new velocity and, of moments, the new root; with a velocity
        of the input that.

    Raises:
        ValueError: A shape that does not fit the others: the kernel reads memory by them; no
            feature; a velocity of the input without ``weight_ih`` and ``bias_ih``.
    """
    velocity: Tensor | None
    rms: Tensor | None
    velocity, rms, numbers = None, None, (0.0, 0.0, 0.0, 0.0)
    if isinstance(rule, Velocity):
        velocity, numbers = rule.velocity, (float(rule.mu), float(rule.gain), 0.0, 0.0)
    elif rule is not None:
        velocity, rms = rule.velocity, rule.rms
        numbers = float(rule.mu), float(rule.gain), float(rule.beta), float(rule.eps)
    if before is not None and (weight_ih is None or bias_ih is None):
        raise ValueError("a velocity of the input needs weight_ih and bias_ih")
    if x.shape[1] == 0:
        raise ValueError("the input must have at least one feature, got 0")
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
            ("velocity", None if before is None else before.velocity, (batch, inputs + 1), None),
        ],
        x.dtype,
    )
    read = contiguous(x, weight_ih, bias_ih, weight_hh, bias_hh)
    held = contiguous(h, c, velocity, rms)
    new = [x if x is None else torch.empty_like(x) for x in held]
    drives, tail = momentum_before(before)
    filtered = None if drives is None else torch.empty_like(drives)
    sizes = STEPPED[cell.key], batch, inputs, hidden, torch.get_num_threads()
    call("cell_step", *sizes, *read, *held, *new, drives, filtered, *tail, *numbers)
    return tuple([each for each in (*new, filtered) if each is not None])


def momentum_before(rule: Velocity | None) -> tuple[Tensor | None, tuple[float, float, float]]:
    """What a kernel takes of a momentum of the input: its velocity, and its numbers."""
    if rule is None:
        return None, (0.0, 0.0, 0.0)
    velocity, gain = rule.velocity.contiguous(), float(rule.gain)
    return velocity, (float(rule.mu), gain, largest_drive(velocity, gain))
