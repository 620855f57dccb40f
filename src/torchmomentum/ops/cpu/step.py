"""One step of a stream on the compiled kernels, without gradients and in few calls."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum.ops._problem import Moments
from torchmomentum.ops.cells import Cell, State
from torchmomentum.ops.cpu.layer import ACTIVATIONS, rule_numbers
from torchmomentum.ops.cpu.library import call

STEPPED = ("LSTM", "RNN_TANH", "RNN_RELU")  # the cells that have such a kernel


def step(
    cell: Cell,
    drive: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    moments: Moments | None = None,
) -> State:
    """One step, of what :func:`torchmomentum.ops.compiled_step_serves`.

    Args:
        cell: LSTM, tanh or ReLU.
        drive: ``W x + b_ih`` of the step or what a rule made of it, ``(B, G H)``; written to.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weight_hh: ``(G H, H)``.
        bias_hh: ``(G H,)``, or None.
        moments: The Adam rule, which the drive goes through.

    Returns:
        The state, and with ``moments`` the velocity and root.
    """
    batch, width = drive.shape
    hidden, last = weight_hh.shape[1], list[Tensor]()
    drive = drive.contiguous()
    if moments is not None:
        last = [m.clone(memory_format=torch.contiguous_format) for m in moments[:2]]
        shift = drive.new_zeros(width) if bias_hh is None else bias_hh.contiguous()
        pair = float(moments.mu), float(moments.gain)
        rule = rule_numbers(drive, *pair, moments.beta, moments.eps)
        call("adam_rule_forward", 1, batch, width, None, 1, rule, drive, *last, shift)
    elif bias_hh is not None:
        drive.add_(bias_hh)
    h, *rest = [s.contiguous() for s in state]
    drive.addmm_(h, weight_hh.t())
    out = torch.empty_like(h)
    tail = [None, None, None, 1.0, *[None, 0.0] * len(state), None]
    sizes = (1, batch, hidden, None, 1)
    if cell.key == "LSTM":
        new_cell = torch.empty_like(out)
        call("lstm_forward", *sizes, drive, out, new_cell, h, *rest, None, 0, *tail)
        return out, new_cell, *last
    activation = ACTIVATIONS[cell.key], None, None
    call("rnn_forward", *sizes, drive, out, h, None, 0, *activation, *tail)
    return out, *last
