"""Layers on the compiled kernels as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum._tuples import changed
from torchmomentum.ops._definition import define
from torchmomentum.ops._derivatives import functional_product
from torchmomentum.ops._precision import HALF
from torchmomentum.ops._problem import Layout, Moments, Problem, empty_outputs
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.cells import State, find
from torchmomentum.ops.cpu.backward import backward
from torchmomentum.ops.cpu.chunks import most_chunks
from torchmomentum.ops.cpu.filtered import filtered_backward, filtered_forward
from torchmomentum.ops.cpu.forward import forward
from torchmomentum.ops.cpu.layer import KERNELS
from torchmomentum.ops.cpu.library import available
from torchmomentum.ops.cpu.norms import kept_floats


def _define(layout: Layout) -> Any:
    saved = 4 + layout.velocity

    def definition(*args: Any) -> State:
        return define(layout.problem(args))

    def run_forward(*args: Any) -> Sequence[Tensor]:
        problem = layout.problem(args)
        if available():
            return filtered_forward(problem) if layout.velocity else forward(problem)
        # a program from a machine that has the kernels; the backward is by the definition too
        with torch.no_grad():
            found = [x.clone() for x in define(problem)]
        return *found, *_fake(problem)[len(found) :]

    def run_backward(
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        constants: Sequence[Any],
    ) -> list[Tensor]:
        if not available():
            return functional_product(lambda *x: definition(*x, *constants), tensors, grads)
        problem = layout.problem([*tensors, *constants])
        pull = filtered_backward if layout.velocity else backward
        return pull(problem, (results[0], *results[-saved:]), grads)

    return define_recurrence(
        f"cpu_{layout.name}",
        arguments=layout.arguments,
        constants=layout.constants,
        outputs=layout.outputs,
        saved=saved,
        # constants: the cell, train, input_grad, ...
        at_backward=lambda fixed, needs: (*fixed[:2], needs[0], *fixed[3:]),
        definition=definition,
        forward=run_forward,
        backward=run_backward,
        fake=lambda *args: _fake(layout.problem(args)),
    )


def _fake(problem: Problem) -> tuple[Tensor, ...]:
    x, (width, hidden) = problem.x, problem.weight_hh.shape
    time, batch, _ = x.shape
    gated = KERNELS[problem.cell.key] != "rnn"
    gates, kept, marks = x.new_empty(0), x.new_empty(0), x.new_empty(0)
    if problem.train and (gated or problem.modifiers.has_zoneout()):
        gates = x.new_empty(time, batch, width)
        kept = x.new_empty(time if gated else 0, batch, hidden)
    last: list[Tensor] = []
    if problem.moments is not None:
        last = [m.new_empty(m.shape) for m in problem.moments[:2]]
        most = most_chunks(time, batch, width) if problem.train else 0
        marks = x.new_empty(most * 2 * batch * width)  # a size of many dimensions would be guarded
    normal = x.new_empty(kept_floats(problem, time) if problem.train else 0)
    made: list[Tensor] = []
    if problem.velocity is not None:
        velocity = problem.velocity.velocity
        last, made = [velocity.new_empty(velocity.shape)], [x.new_empty(time, *velocity.shape)]
    return *empty_outputs(problem), *last, gates, kept, marks, normal, *made


_RULES = (False, False), (True, False), (False, True)  # of moments, and of a velocity
# some cells have the same; in the order in which they come
_LAYOUTS = dict.fromkeys(Layout.of(find(name), *rule) for rule in _RULES for name in KERNELS)
OPERATORS = {layout: _define(layout) for layout in _LAYOUTS}


def layer(problem: Problem) -> State:
    """One recurrent layer, one direction, on the compiled kernels.

    Returns:
        The outputs ``(T, B, H)``, the last state, and with moments the last velocity and root,
        with a velocity the last of it, these in float32 whatever the type of the rest.

    Raises:
        ValueError: A tensor has a shape that does not fit the others.
    """
    dtype, moments = problem.x.dtype, problem.moments
    if dtype in HALF:
        problem = problem.to(torch.float32)
    if moments is not None:
        problem = changed(problem, moments=_scalars(moments, problem.x))
    layout = Layout.of(problem.cell, moments is not None, problem.velocity is not None)
    args, count = problem.flat(bfloat16_products=dtype == torch.bfloat16), 1 + len(problem.state)
    found: State = OPERATORS[layout](*args)[: layout.outputs]
    if layout.velocity:  # which nothing that is differentiated is a part of
        found = *found[:-1], found[-1].detach()
    if dtype in HALF:
        return *[r.to(dtype) for r in found[:count]], *found[count:]
    return found


def _scalars(moments: Moments, like: Tensor) -> Moments:
    """The moments in the input's type, and their numbers as tensors."""
    mu, gain, dtype = moments.mu, moments.gain, like.dtype
    return changed(
        moments,
        velocity=moments.velocity.to(dtype),
        rms=moments.rms.to(dtype),
        mu=mu.to(dtype) if isinstance(mu, Tensor) else like.new_full((), mu),
        gain=gain.to(dtype) if isinstance(gain, Tensor) else like.new_full((), gain),
        learned=isinstance(mu, Tensor) or isinstance(gain, Tensor),
    )
