"""The Elman recurrence over pre-activations with its gradient written out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def forward(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    mask: Tensor | None,
    relu: bool,
) -> tuple[Tensor, ...]:
    """Outputs and the last ``h``; nothing more is kept."""
    out = pre.clone(memory_format=torch.contiguous_format) if bias_hh is None else pre + bias_hh
    recurrent = weight_hh.t()
    for t, output in enumerate(out.unbind(0)):
        output.addmm_(h, recurrent)
        output.relu_() if relu else output.tanh_()
        if mask is not None:
            output.copy_(torch.where(mask[t], output, h))
        h = output
    return out, h.clone()


def backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[object],
) -> list[Tensor]:
    """Gradients of pre-activations, state and weights."""
    _, h0, weight_hh, bias_hh, mask = tensors
    (relu,) = constants
    if h0 is None or weight_hh is None:
        raise TypeError("state and weight_hh must be tensors")
    outputs, _ = results
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


def fake(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    mask: Tensor | None,
    relu: bool,
) -> tuple[Tensor, ...]:
    """The shapes of :func:`forward`'s results."""
    return torch.empty_like(pre, memory_format=torch.contiguous_format), torch.empty_like(h)
