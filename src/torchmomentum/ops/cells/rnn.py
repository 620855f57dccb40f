"""The Elman networks with tanh and ReLU, and their gradient written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import Cell, Gradient, State, Weights, recurrent, register


def _step(
    activation: Callable[[Tensor], Tensor],
    pre: Tensor,
    state: State,
    weights: Weights,
    operand: Tensor,
    modifiers: Modifiers,
) -> State:
    """Equation (1) of the MomentumRNN paper."""
    return (activation(pre + recurrent(weights, operand, modifiers)),)


def _forward(
    relu: bool, pre: Tensor, state: State, weights: Weights, mask: Tensor | None
) -> tuple[Tensor, ...]:
    (h,), (weight_hh, bias_hh, _) = state, weights
    out = pre.clone(memory_format=torch.contiguous_format) if bias_hh is None else pre + bias_hh
    recurrent = weight_hh.t()
    for t, output in enumerate(out.unbind(0)):
        output.addmm_(h, recurrent)
        output.relu_() if relu else output.tanh_()
        if mask is not None:
            output.copy_(torch.where(mask[t], output, h))
        h = output
    return out, h.clone()


def _backward(
    relu: bool,
    state: State,
    weights: Weights,
    mask: Tensor | None,
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    (h0,), (weight_hh, bias_hh, _) = state, weights
    (outputs,) = results
    grad_out, grad_h = grads
    time = len(outputs)
    local = (outputs > 0).to(outputs.dtype) if relu else 1 - outputs * outputs
    dh = torch.zeros_like(h0) if grad_h is None else grad_h.clone()
    for t in range(time - 1, -1, -1):
        if grad_out is not None:
            dh = dh + grad_out[t]
        held = None
        if mask is not None:
            held, dh = dh.masked_fill(mask[t], 0), dh.masked_fill(~mask[t], 0)
        dh = local[t].mul_(dh) @ weight_hh
        if held is not None:
            dh = dh + held
    flat = local.flatten(0, 1)
    h_before = torch.cat([h0.unsqueeze(0), outputs[:-1]]).flatten(0, 1)
    found = [local, dh, flat.t() @ h_before]
    if bias_hh is not None:
        found.append(flat.sum(0))
    return found


def _keep(pre: Tensor, state: State) -> tuple[Tensor, ...]:
    return ()


def _make(name: str, activation: Callable[[Tensor], Tensor], relu: bool) -> Cell:
    step = partial(_step, activation)
    written = Gradient(step, partial(_forward, relu), partial(_backward, relu), _keep, kept=0)
    return register(Cell(name, gates=1, step=step, gradient=written))


RNN_TANH = _make("RNN_TANH", torch.tanh, False)
RNN_RELU = _make("RNN_RELU", torch.relu, True)
