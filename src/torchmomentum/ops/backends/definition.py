"""The definition as a backend: what serves everything.

As an operator it keeps nothing but its arguments; the backward runs the definition again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._autograd import define_recurrence, functional_product
from torchmomentum.ops._definition import define
from torchmomentum.ops._precision import in_float32
from torchmomentum.ops._problem import Layout, Problem, empty_outputs
from torchmomentum.ops.backends._backend import Backend, everything, over_preactivations
from torchmomentum.ops.cells import Cell, State, for_each_cell

_OPERATORS: dict[Layout, Any] = {}


def _define(layout: Layout) -> Any:
    def definition(*args: Any) -> State:
        return define(layout.problem(args))

    def forward(*args: Any) -> State:
        with torch.no_grad():
            return tuple([x.clone() for x in definition(*args)])  # none a view of another

    def backward(
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        constants: Sequence[Any],
    ) -> list[Tensor]:
        return functional_product(lambda *x: definition(*x, *constants), tensors, grads)

    return define_recurrence(
        f"definition_{layout.name}",
        arguments=layout.arguments,
        constants=layout.constants,
        outputs=layout.outputs,
        definition=definition,
        forward=forward,
        backward=backward,
        fake=lambda *args: empty_outputs(layout.problem(args)),
    )


def _prepare(cell: Cell) -> None:
    layout = Layout.of(cell)
    if layout not in _OPERATORS:
        _OPERATORS[layout] = _define(layout)


for_each_cell(_prepare)


def _run(problem: Problem) -> State:
    found: State = _OPERATORS[Layout.of(problem.cell)](*problem.flat())
    return tuple(found)


LOOP = Backend(
    "loop",
    "everything, step by step under autograd",
    everything,
    over_preactivations(in_float32(define)),
)
DEFINITION = Backend("definition", "everything", everything, over_preactivations(in_float32(_run)))
