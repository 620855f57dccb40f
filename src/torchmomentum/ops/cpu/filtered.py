"""A layer on the compiled kernels whose input goes through a constant momentum first.

A linear rule commutes with an affine map, so that it is run on ``[x_t; 1]`` instead of the drives
``W x_t + b``, which are wider. The layer then reads that by ``[W, b]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum._tuples import changed
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.backward import backward
from torchmomentum.ops.cpu.forward import forward
from torchmomentum.ops.cpu.whole import serves, whole_backward, whole_forward
from torchmomentum.ops.filters.beside_one import filter_beside_one, joined


def _reading(problem: Problem, x: Tensor) -> Problem:
    """The layer that reads what the momentum made, ``(T, B, I + 1)``."""
    weight = joined(*problem.affine_weights())
    return changed(problem, x=x, weight_ih=weight, bias_ih=None, velocity=None)


def filtered_forward(problem: Problem) -> tuple[Tensor, ...]:
    """As :func:`forward`, with the last velocity, and behind all what the momentum made."""
    velocity = problem.velocity
    if velocity is None:
        raise TypeError("a layer without a velocity of the input")
    problem.check()
    if serves(problem):
        return whole_forward(problem)
    x, last = filter_beside_one(problem.x, velocity)
    *found, gates, kept, marks, normal = forward(_reading(problem, x))
    return *found, last, gates, kept, marks, normal, x


def filtered_backward(
    problem: Problem, results: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """As :func:`backward`; zeros for the input and the velocity, of which none is asked.

    Args:
        problem: The layer.
        results: The outputs, and what the forward kept, what the momentum made last.
        grads: Of the outputs, the last state and the last velocity, each or None.
    """
    *kept, made = results
    if problem.train and serves(problem):
        return whole_backward(problem, (*kept[:3], made), grads)
    inner, states = _reading(problem, made), len(problem.state)
    _, *found = backward(inner, kept, grads[:-1])
    weight, weight_hh, *rest = found[states:]
    split = weight[:, :-1].contiguous(), weight_hh, weight[:, -1].contiguous()
    of_x, of_velocity = torch.zeros_like(problem.x), torch.zeros_like(made[0])
    return [of_x, *found[:states], *split, *rest, of_velocity]
