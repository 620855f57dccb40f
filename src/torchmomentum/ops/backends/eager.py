"""Cells with their gradient written out in PyTorch operations, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from torchmomentum.ops._definition import define
from torchmomentum.ops._lengths import steps_alive
from torchmomentum.ops._precision import in_float32
from torchmomentum.ops._problem import Layout, Problem, empty_outputs
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.backends._backend import Backend, over_preactivations
from torchmomentum.ops.cells import Cell, Gradient, State, for_each_cell

_OPERATORS: dict[tuple[Layout, int], Any] = {}


def _written(problem: Problem) -> Gradient:
    gradient = problem.cell.gradient
    if gradient is None:
        raise ValueError(f"{problem.cell.name} has no gradient written out")
    return gradient


def _mask(problem: Problem) -> Tensor | None:
    if problem.lengths is None:
        return None
    return steps_alive(len(problem.x), problem.lengths)


def _define(layout: Layout, kept: int) -> Any:
    def forward(*args: Any) -> tuple[Tensor, ...]:
        problem = layout.problem(args)
        mask = _mask(problem)
        return _written(problem).forward(problem.x, problem.state, problem.weights(), mask)

    def backward(
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        constants: Sequence[Any],
    ) -> list[Tensor]:
        problem = layout.problem([*tensors, *constants])
        made = results[0], *results[layout.outputs :]
        mask = _mask(problem)
        return _written(problem).backward(problem.state, problem.weights(), mask, made, grads)

    def fake(*args: Any) -> tuple[Tensor, ...]:
        problem = layout.problem(args)
        return *empty_outputs(problem), *_written(problem).keep(problem.x, problem.state)

    return define_recurrence(
        f"eager_{layout.name}_{kept}",
        arguments=layout.arguments,
        constants=layout.constants,
        outputs=layout.outputs,
        saved=kept,
        definition=lambda *args: define(layout.problem(args)),
        forward=forward,
        backward=backward,
        fake=fake,
    )


def _prepare(cell: Cell) -> None:
    if cell.gradient is not None:
        key = Layout.of(cell), cell.gradient.kept
        if key not in _OPERATORS:
            _OPERATORS[key] = _define(*key)


for_each_cell(_prepare)


def _refusal(problem: Problem) -> str:
    if problem.cell.gradient is None:
        return "the cell has no gradient written out"
    return "" if problem.modifiers.is_plain() else "there are modifiers"


def _run(problem: Problem) -> State:
    layout = Layout.of(problem.cell)
    operator = _OPERATORS[layout, _written(problem).kept]
    found: State = operator(*problem.flat())
    return found[: 1 + len(problem.state)]


EAGER = Backend(
    "eager",
    "cells with a gradient written out, without modifiers",
    _refusal,
    over_preactivations(in_float32(_run)),
)
