"""Long short-term memory, and its gradient written out.

The gradient builds no autograd graph for the steps: the forward keeps the activated gates and the
cell states, and the backward is one short loop followed by one product for each weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import (
    Cell,
    Extra,
    Gradient,
    State,
    Weights,
    recurrent,
    register,
)


def _step(
    pre: Tensor, state: State, weights: Weights, operand: Tensor, modifiers: Modifiers
) -> State:
    """``(h, c)`` after one step, gates i, f, g, o; ``h`` projected where there is a weight."""
    i, f, g, o = (pre + recurrent(weights, operand, modifiers)).chunk(4, -1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    shown = cell
    if modifiers.norm_c is not None:
        gain = modifiers.norm_c
        shown = layer_norm(cell, gain.shape, gain, modifiers.norm_c_bias)
    hidden = torch.sigmoid(o) * torch.tanh(shown)
    weight_hr = weights.extra.get("weight_hr")
    return hidden if weight_hr is None else linear(hidden, weight_hr), cell


def _forward(
    pre: Tensor, state: State, weights: Weights, mask: Tensor | None
) -> tuple[Tensor, ...]:
    (h, c), (weight_hh, bias_hh, extra) = state, weights
    weight_hr = extra.get("weight_hr")
    time, batch, _ = pre.shape
    size = c.shape[-1]
    gates = pre.clone(memory_format=torch.contiguous_format) if bias_hh is None else pre + bias_hh
    cells, squashed = c.new_empty(time, batch, size), c.new_empty(time, batch, size)
    outputs = h.new_empty(time, batch, h.shape[-1])
    recurrent, projection = weight_hh.t(), None if weight_hr is None else weight_hr.t()
    masks = None if mask is None else mask.unbind(0)
    loops = zip(
        gates.unbind(0), cells.unbind(0), squashed.unbind(0), outputs.unbind(0), strict=True
    )
    for t, (gate, cell, squash, output) in enumerate(loops):
        gate.addmm_(h, recurrent)
        gate[:, : 2 * size].sigmoid_()
        gate[:, 2 * size : 3 * size].tanh_()
        gate[:, 3 * size :].sigmoid_()
        i, f, g, o = gate.chunk(4, 1)
        torch.mul(f, c, out=cell).addcmul_(i, g)
        torch.tanh(cell, out=squash)
        if projection is None:
            torch.mul(o, squash, out=output)
        else:
            torch.mm(o * squash, projection, out=output)
        if masks is not None:
            cell.copy_(torch.where(masks[t], cell, c))
            output.copy_(torch.where(masks[t], output, h))
        h, c = output, cell
    return outputs, h.clone(), c.clone(), gates, cells, squashed


def _backward(
    state: State,
    weights: Weights,
    mask: Tensor | None,
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    (h0, c0), (weight_hh, bias_hh, extra) = state, weights
    weight_hr = extra.get("weight_hr")
    outputs, gates, cells, squashed = results
    grad_out, grad_h, grad_c = grads
    time, _, size = cells.shape
    local = torch.empty_like(gates)  # gradients of the pre-activations
    dh = torch.zeros_like(h0) if grad_h is None else grad_h.clone()
    dc = torch.zeros_like(c0) if grad_c is None else grad_c.clone()
    raw = None if weight_hr is None else torch.empty_like(cells)  # gradients before the projection
    projected = None if weight_hr is None else h0.new_empty(time, *h0.shape)
    for t in range(time - 1, -1, -1):
        if grad_out is not None:
            dh = dh + grad_out[t]
        held_h = held_c = None
        if mask is not None:
            held_h, held_c = dh.masked_fill(mask[t], 0), dc.masked_fill(mask[t], 0)
            dh, dc = dh.masked_fill(~mask[t], 0), dc.masked_fill(~mask[t], 0)
        if raw is not None and projected is not None and weight_hr is not None:
            projected[t] = dh
            dh = torch.mm(dh, weight_hr, out=raw[t])
        i, f, g, o = gates[t].chunk(4, 1)
        squash, pull = squashed[t], local[t]
        grad_i, grad_f, grad_g, grad_o = pull.chunk(4, 1)
        dc = torch.addcmul(dc, dh * o, 1 - squash * squash)
        # sigmoid' = s (1 - s), of i, f and o at once; g is the one tanh
        torch.addcmul(gates[t], gates[t], gates[t], value=-1, out=pull)
        torch.addcmul(i, i * g, g, value=-1, out=grad_g)
        grad_i.mul_(g).mul_(dc)
        grad_f.mul_(cells[t - 1] if t else c0).mul_(dc)
        grad_g.mul_(dc)
        grad_o.mul_(squash).mul_(dh)
        dc = dc * f
        dh = pull @ weight_hh
        if held_h is not None and held_c is not None:
            dh, dc = dh + held_h, dc + held_c
    flat = local.flatten(0, 1)
    h_before = torch.cat([h0.unsqueeze(0), outputs[:-1]]).flatten(0, 1)
    found = [local, dh, dc, flat.t() @ h_before]
    if bias_hh is not None:
        found.append(flat.sum(0))
    if projected is not None:
        hidden = (gates[:, :, 3 * size :] * squashed).flatten(0, 1)
        found.append(projected.flatten(0, 1).t() @ hidden)
    return found


def _keep(pre: Tensor, state: State) -> tuple[Tensor, ...]:
    cells = state[1].new_empty(*pre.shape[:2], state[1].shape[-1])
    gates = torch.empty_like(pre, memory_format=torch.contiguous_format)
    return gates, cells, torch.empty_like(cells)


LSTM = register(
    Cell(
        "LSTM",
        gates=4,
        step=_step,
        states=("h", "c"),
        extra=(Extra("weight_hr", lambda h, width: (h, width), required=False),),
        projection="weight_hr",
        norms=("norm_hh", "norm_c", "norm_c_bias"),
        gradient=Gradient(_step, _forward, _backward, _keep, kept=3),
    )
)
