"""The gated recurrent unit, and its gradient written out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import Cell, Gradient, State, Weights, recurrent, register


def _step(
    pre: Tensor, state: State, weights: Weights, operand: Tensor, modifiers: Modifiers
) -> State:
    """Gates r, z, n, with the reset gate on the product as in ``torch.nn.GRU``."""
    reset_in, update_in, new_in = pre.chunk(3, -1)
    reset_h, update_h, new_h = recurrent(weights, operand, modifiers).chunk(3, -1)
    reset, update = torch.sigmoid(reset_in + reset_h), torch.sigmoid(update_in + update_h)
    new = torch.tanh(new_in + reset * new_h)
    return (new + update * (state[0] - new),)


def _forward(
    pre: Tensor, state: State, weights: Weights, mask: Tensor | None
) -> tuple[Tensor, ...]:
    """Keeps the activated gates, and ``U_n h + b_n``."""
    (h,), (weight_hh, bias_hh, _) = state, weights
    time, batch, _ = pre.shape
    size = h.shape[-1]
    gates = pre.clone(memory_format=torch.contiguous_format)
    inner = pre.new_empty(time, batch, size)
    outputs = pre.new_empty(time, batch, size)
    recurrent = weight_hh.t()
    bias = pre.new_zeros(3 * size) if bias_hh is None else bias_hh
    for t, (gate, kept, output) in enumerate(
        zip(gates.unbind(0), inner.unbind(0), outputs.unbind(0), strict=True)
    ):
        hidden = torch.addmm(bias, h, recurrent)
        kept.copy_(hidden[:, 2 * size :])
        gate[:, : 2 * size].add_(hidden[:, : 2 * size]).sigmoid_()
        reset, update, new = gate.chunk(3, 1)
        new.addcmul_(reset, kept).tanh_()
        torch.lerp(new, h, update, out=output)
        if mask is not None:
            output.copy_(torch.where(mask[t], output, h))
        h = output
    return outputs, h.clone(), gates, inner


def _backward(
    state: State,
    weights: Weights,
    mask: Tensor | None,
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    (h0,), (weight_hh, bias_hh, _) = state, weights
    outputs, gates, inner = results
    grad_out, grad_h = grads
    time, batch, size = outputs.shape
    reset, update, new = gates.view(time, batch, 3, size).unbind(2)
    h_before = torch.cat([h0.unsqueeze(0), outputs[:-1]])
    # what a unit of dh gives each pre-activation, for all steps at once
    local = torch.empty_like(gates).view(time, batch, 3, size)
    torch.mul(1 - update, 1 - new * new, out=local[:, :, 2])
    torch.mul(h_before - new, update * (1 - update), out=local[:, :, 1])
    torch.mul(local[:, :, 2] * inner, reset * (1 - reset), out=local[:, :, 0])
    hidden = local.clone()  # the same for U h + b, where the reset gate stands before the last
    hidden[:, :, 2] *= reset
    dh = torch.zeros_like(h0) if grad_h is None else grad_h.clone()
    for t in range(time - 1, -1, -1):
        if grad_out is not None:
            dh = dh + grad_out[t]
        held = None
        if mask is not None:
            held, dh = dh.masked_fill(mask[t], 0), dh.masked_fill(~mask[t], 0)
        local[t].mul_(dh.unsqueeze(1))
        hidden[t].mul_(dh.unsqueeze(1))
        dh = torch.addmm(dh * update[t], hidden[t].flatten(1), weight_hh)
        if held is not None:
            dh = dh + held
    flat = hidden.flatten(0, 1).flatten(1)
    found = [local.flatten(2), dh, flat.t() @ h_before.flatten(0, 1)]
    if bias_hh is not None:
        found.append(flat.sum(0))
    return found


def _keep(pre: Tensor, state: State) -> tuple[Tensor, ...]:
    gates = torch.empty_like(pre, memory_format=torch.contiguous_format)
    return gates, pre.new_empty(*pre.shape[:2], state[0].shape[-1])


GRU = register(
    Cell("GRU", gates=3, step=_step, gradient=Gradient(_step, _forward, _backward, _keep, kept=2))
)
