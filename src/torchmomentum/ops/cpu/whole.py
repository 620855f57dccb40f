"""A plain layer in one call into C++ each way: for short sequences calls cost the most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.chunks import most_chunks
from torchmomentum.ops.cpu.layer import begun
from torchmomentum.ops.cpu.library import call, contiguous
from torchmomentum.ops.cpu.pool import empty
from torchmomentum.ops.cpu.step import LARGEST, STEPPED, momentum_before

_LARGE = 2**22  # weights of a matrix, beyond which a call is nothing beside what it computes


def serves(problem: Problem) -> bool:
    """Whether the layer is a plain one of one chunk, and its weights are not large."""
    time, batch, inputs = problem.x.shape
    width, hidden = problem.weight_hh.shape
    return (
        problem.weight_ih is not None
        and problem.cell.key in STEPPED
        and problem.lengths is None
        and problem.moments is None
        and problem.modifiers.is_plain()
        and not problem.bfloat16_products
        and width * max(inputs, hidden) <= _LARGE
        and (time > 1 or batch * width <= LARGEST)
        and most_chunks(time, batch, width) == 1
    )


def _sizes(problem: Problem) -> list[int]:
    time, batch, inputs = problem.x.shape
    return [STEPPED[problem.cell.key], time, batch, inputs, problem.weight_hh.shape[1]]


def whole_forward(problem: Problem) -> tuple[Tensor, ...]:
    """As :func:`forward` and, with a velocity, :func:`filtered_forward`, of what is served."""
    x, (h, *c), gated = problem.x, problem.state, problem.cell.gates > 1
    _, time, batch, _, hidden = sizes = _sizes(problem)
    gates = empty(x, time, batch, problem.weight_hh.shape[0])
    kept = empty(x, time if gated else 0, batch, hidden)
    out = x.new_empty(time, batch, hidden)
    velocity, numbers = momentum_before(problem.velocity)
    made = None if velocity is None else empty(x, time, *velocity.shape)
    weights = problem.weight_ih, problem.bias_ih, problem.weight_hh, problem.bias_hh
    read = contiguous(x, *weights, h, c[0] if c else None)
    arrays = *read, velocity, made, gates, out, kept
    call("layer_forward", *sizes, torch.get_num_threads(), *arrays, *numbers)
    last = [out[-1].clone(), *[kept[-1].clone() for _ in c]]
    if not problem.train or not gated:
        gates, kept = x.new_empty(0), x.new_empty(0)
    found = gates, kept, x.new_empty(0), x.new_empty(0)
    if made is None:
        return out, *last, *found
    return out, *last, made[-1].clone(), *found, made


def whole_backward(
    problem: Problem, results: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """As :func:`backward` and, with a velocity, :func:`filtered_backward`, of what is served.

    Args:
        problem: The layer.
        results: The outputs, the gates, the cells, and what a momentum made of the input.
        grads: Of the outputs, the last state and the last velocity, each or None.
    """
    x, (h, *c), (out, gates, kept, *made) = problem.x, problem.state, results
    dh, *dc = begun(problem.state, grads[1 : 1 + len(problem.state)])
    local = empty(x, *x.shape[:2], problem.weight_hh.shape[0])
    recurrent = empty(x, *local.shape) if problem.cell.key == "GRU" else local
    weights = problem.weight_ih, problem.bias_ih, problem.weight_hh, problem.bias_hh
    pulled = [None if w is None else w.new_empty(w.shape) for w in weights]
    asked = None if made or not problem.input_grad else x.new_empty(x.shape)
    of_x = x.new_zeros(x.shape) if asked is None else asked
    read = contiguous(*(made or (x,)), weights[0], weights[2], h, c[0] if c else None)
    seen = gates, out, kept, None if grads[0] is None else grads[0].contiguous()
    arrays = *read, *seen, dh, dc[0] if dc else None, local, recurrent, *pulled, asked
    call("layer_backward", *_sizes(problem), len(made), torch.get_num_threads(), *arrays)
    weight_ih, bias_ih, weight_hh, bias_hh = pulled
    found = [of_x, dh, *dc, weight_ih, weight_hh, bias_ih, bias_hh]
    found += [torch.zeros_like(each[0]) for each in made]  # of the velocity
    return [each for each in found if each is not None]
