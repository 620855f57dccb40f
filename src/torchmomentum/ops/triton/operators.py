"""The recurrences on the Triton kernels as operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._autograd import each_member
from torchmomentum.ops._definition import define
from torchmomentum.ops._problem import Layout, Problem, empty_outputs
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.cells import State, find
from torchmomentum.ops.triton import run
from torchmomentum.ops.triton.device import runs_on
from torchmomentum.ops.triton.launch import CELLS

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def refusal(problem: Problem) -> str:
    """Why the kernels do not run a recurrence over pre-activations; empty where they do."""
    x = problem.x
    if problem.cell.key not in CELLS:
        return "there are no kernels for the cell"
    if problem.is_projected() or problem.modifiers.normalizes():
        return "projection and normalization have no kernels"
    if x.dtype not in _DTYPES or x.numel() == 0:
        return "the tensors are of another type, or empty"
    for t in (*problem.state, problem.weight_hh):
        if t.device != x.device:
            return "the tensors are on several devices"
    return "" if runs_on(x.device) else "Triton does not run on the device here"


def _fake(given: Problem) -> tuple[Tensor, ...]:
    outputs, pre = empty_outputs(given), given.x
    hidden, key = given.weight_hh.shape[-1], given.cell.key
    nothing, shape = pre.new_empty(0), list(pre.shape[:-1])
    gates = inner = cells = operands = nothing
    if given.train:
        gates = torch.empty_like(pre, memory_format=torch.contiguous_format)
        inner = pre.new_empty(*shape, hidden) if key == "GRU" else nothing
        if key == "LSTM":
            longer = [*shape[:-2], shape[-2] + 1, shape[-1]]
            cells = pre.new_empty(*longer, hidden, dtype=torch.float32)
        if given.modifiers.changes_operand():
            operands = pre.new_empty(*shape, hidden)
    return *outputs, gates, inner, cells, operands


def _definition(layout: Layout, *args: Any) -> State:
    """The definition, of each member where there are several."""
    if args[0].dim() == 3:
        return define(layout.problem(args))
    members = [
        define(layout.problem([x[i] if isinstance(x, Tensor) else x for x in args]))
        for i in range(len(args[0]))
    ]
    return tuple(map(torch.stack, zip(*members, strict=True)))


def _together(call: Callable[..., Any]) -> Callable[..., Any]:
    """The rule for ``vmap``: one launch for all members."""
    apart = each_member(call)

    def vmap(info: Any, in_dims: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        if args[0].dim() - (in_dims[0] is not None) > 3:
            found: tuple[Any, Any] = apart(info, in_dims, *args)  # an ensemble of ensembles
            return found

        def spread(x: Any, dim: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            return x.movedim(dim, 0) if dim is not None else x.expand(info.batch_size, *x.shape)

        spread_args = [spread(x, dim) for x, dim in zip(args, in_dims, strict=True)]
        results = call(*spread_args)
        return tuple(results), (0,) * len(results)

    return vmap


def _define(layout: Layout) -> Any:
    def backward(
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        constants: Sequence[Any],
    ) -> list[Tensor]:
        return run.backward(layout.problem([*tensors, *constants]), tensors, results, grads)

    return define_recurrence(
        f"triton_{layout.name}",
        arguments=layout.arguments,
        constants=layout.constants,
        outputs=layout.outputs,
        saved=4,
        definition=lambda *args: _definition(layout, *args),
        members=_together,
        forward=lambda *args: run.forward(layout.problem(args)),
        backward=backward,
        fake=lambda *args: _fake(layout.problem(args)),
    )


_OPERATORS = {layout: _define(layout) for layout in {Layout.of(find(name)): 0 for name in CELLS}}


def scan(problem: Problem) -> State:
    """A recurrence over pre-activations on the Triton kernels."""
    layout = Layout.of(problem.cell)
    results: State = _OPERATORS[layout](*problem.flat())
    return results[: 1 + len(problem.state)]
