"""Forward and backward of a recurrence over pre-activations on the Triton kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.triton.launch import Launch, from_step


def _apart(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype, copy=True).contiguous()


def forward(given: Problem) -> tuple[Tensor, ...]:
    """The outputs, the last state, and what the backward needs.

    That is the gates, a GRU's inner products, the cells and what the products read, where that is
    not the outputs.
    """
    from torchmomentum.ops.triton.forward import forward as kernel

    launch = Launch(given)
    pre, key, keep = launch.pre, given.cell.key, given.train
    count, time, batch, hidden = launch.area
    hs = pre.new_empty(count, time + 1, batch, hidden)
    hs[:, 0] = launch.members(given.state[0])
    cs = inner = gates = operands = None
    if key == "LSTM":
        cs = pre.new_empty(count, time + 1, batch, hidden, dtype=torch.float32)
        cs[:, 0] = launch.members(given.state[1])
    if keep:
        gates = torch.empty_like(pre)
        inner = pre.new_empty(launch.area) if key == "GRU" else None
    if given.modifiers.changes_operand():
        operands = pre.new_empty(launch.area)
        operands[:, 0] = launch.first_operand()
    modrelu = launch.maybe(given.extra.get("bias_modrelu"))
    fixed = (launch.weight, launch.maybe(given.bias_hh), modrelu, launch.maybe(given.lengths))
    for first, steps in launch.pieces():
        along = (from_step(x, first) for x in (pre, hs, cs, gates, inner))
        read = from_step(operands, first)
        launch.run(kernel, *along, *fixed, read, *launch.tail(first, steps))
    # nothing that is returned may be a part of something else: not of what is kept, nor of memory
    # that begins earlier, which compiled graphs would take for aligned
    out = launch.without(hs[:, 1:]).clone(memory_format=torch.contiguous_format)
    last = [_apart(launch.without(hs[:, -1]), given.state[0].dtype)]
    if cs is not None:
        last.append(_apart(launch.without(cs[:, -1]), given.state[1].dtype))
    nothing = pre.new_empty(0)
    kept = (gates, inner, cs if keep else None, operands if keep else None)
    return out, *last, *(nothing if x is None else launch.without(x) for x in kept)


def backward(
    given: Problem,
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    from torchmomentum.ops.triton.backward import backward as kernel

    if not given.train:  # the forward could not see that a gradient would be asked for
        given = given._replace(train=True)
        results = forward(given)
    launch = Launch(given)
    key, modifiers = given.cell.key, given.modifiers
    count, time, batch, hidden = launch.area
    out = launch.members(results[0])
    gates, inner, cs, operands = (launch.members(x) if x.numel() else None for x in results[-4:])
    if gates is None:
        raise RuntimeError("the forward kept no gates")
    hs = torch.cat([launch.members(given.state[0]).to(out.dtype).unsqueeze(1), out], 1)
    local = torch.empty_like(gates)
    rec = torch.empty_like(gates) if key == "GRU" else local
    carried = out.new_zeros(count, 4, batch, hidden, dtype=torch.float32)
    for place, grad in enumerate(grads[1:]):
        if grad is not None:
            carried[:, place] = launch.members(grad)
    grad_out = launch.maybe(grads[0])
    lengths = launch.maybe(given.lengths)
    # programs that do not meet cannot read each other's step within one launch
    pieces = [] if launch.together else [(0, 0)]
    for first, steps in reversed(pieces + launch.pieces()):
        head = (from_step(x, first) for x in (gates, hs, cs, inner))
        pulled = (from_step(x, first) for x in (grad_out, local, rec))
        launch.run(
            kernel,
            *(*head, launch.weight, lengths, *pulled, carried, *launch.tail(first, steps)),
            CHANGED=modifiers.changes_operand(),
            LAST=launch.together or steps == 0,
        )
    read = hs[:, :-1] if operands is None else operands
    flat = rec.view(count, time * batch, -1).transpose(1, 2)
    grad_hh = flat @ read.reshape(count, time * batch, hidden)
    dh, dc, through, second = carried.unbind(1)
    seen = modifiers._replace(keep_mask=launch.maybe(modifiers.keep_mask)).seen
    grad_previous = None
    if modifiers.changes_operand():
        dh = dh + seen(through)
    if launch.mu is not None:
        first_mu, second_mu = launch.mu[:, :2].unsqueeze(-1).unbind(1)
        grad_previous = -seen(first_mu * through)
        dh = dh - grad_previous - seen(second_mu * second)
    found: list[Tensor | None] = [local, dh]
    if key == "LSTM":
        found.append(dc)
    found += [grad_hh, None if given.bias_hh is None else rec.float().sum((1, 2))]
    if key == "RNN_MODRELU":
        found.append((local * torch.sign(gates)).float().sum((1, 2)))
    found.append(grad_previous)
    wanted = [t for t in tensors if t is not None and t.is_floating_point()]
    pairs = zip((x for x in found if x is not None), wanted, strict=True)
    return [launch.without(grad).to(like.dtype) for grad, like in pairs]
