"""The backward of a layer on the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.chunks import chunks, most_chunks
from torchmomentum.ops.cpu.forward import forward
from torchmomentum.ops.cpu.layer import Layer, begun
from torchmomentum.ops.cpu.library import call
from torchmomentum.ops.cpu.norms import NormGradients, Norms
from torchmomentum.ops.cpu.pool import empty
from torchmomentum.ops.cpu.whole import serves, whole_backward


class _Sums:
    """The gradients of the weights and of the input, which each chunk adds to."""

    def __init__(self, layer: Layer) -> None:
        problem, x, width = layer.problem, layer.x, layer.width
        biases = problem.bias_ih, problem.bias_hh
        self.layer, self.weight_input = layer, problem.weight_ih
        self.x = x.new_empty(x.shape) if problem.input_grad else x.new_zeros(x.shape)
        self.weight_ih: Tensor | None = None
        if self.weight_input is not None:
            self.weight_input = self.weight_input.contiguous()
            self.weight_ih = x.new_zeros(width, layer.inputs)
        self.weight_hh = x.new_zeros(width, layer.hidden)
        self.bias_ih, self.bias_hh = (None if b is None else x.new_zeros(width) for b in biases)
        # whether both biases are added to the same: one sum is the gradient of either
        alike = layer.kernel != "gru" and problem.moments is None
        self.shared = alike and all([b is not None for b in biases])
        self.modrelu = None if layer.modrelu is None else x.new_zeros(layer.hidden)
        self.options = problem.bfloat16_products, layer.threads

    def add_recurrent(
        self, steps: slice, local: Tensor, product_grad: Tensor, out: Tensor, made: Tensor
    ) -> None:
        """Of the recurrent weights, from the gradients of their product and of what it became."""
        layer = self.layer
        sizes = len(local), layer.batch, layer.width, layer.hidden, *self.options
        grads = product_grad, local, *layer.read(steps, out), self.weight_hh, self.bias_hh
        call("recurrent_sums", *sizes, *grads)
        if self.modrelu is not None:
            self.modrelu += (local * torch.sign(made[steps])).sum((0, 1))

    def add_input(self, steps: slice, local: Tensor) -> None:
        """Of the input and its weights, from the gradients of the drives."""
        layer, bias = self.layer, None if self.shared else self.bias_ih
        sizes = len(local) * layer.batch, layer.width, layer.inputs, *self.options
        if self.weight_input is None:
            self.x[steps] = local
            if bias is not None:
                call("input_sums", *sizes, local, None, None, None, bias, None)
            return
        asked = self.x[steps] if layer.problem.input_grad else None
        rows, weight = layer.rows(steps), self.weight_input
        call("input_sums", *sizes, local, rows, weight, self.weight_ih, bias, asked)

    def found(self, state: Sequence[Tensor]) -> list[Tensor]:
        """All gradients in the order of the arguments, those of the state among them."""
        if self.shared and self.bias_ih is not None and self.bias_hh is not None:
            self.bias_ih.copy_(self.bias_hh)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.modrelu)
        return [self.x, *state, *[w for w in weights if w is not None]]


class _RuleGradient:
    """The Adam rule of a backward: its drives made again, and the gradients of its moments."""

    def __init__(self, layer: Layer, marks: Tensor, moments: list[Tensor], steps: int) -> None:
        x, width, given = layer.x, layer.width, layer.problem.moments
        if given is None:
            raise TypeError("there is no rule")
        bias_ih = layer.problem.bias_ih
        self.layer, self.moments = layer, moments
        most = most_chunks(layer.time, layer.batch, width)
        self.marks = marks.view(most, 2, layer.batch, width)
        self.numbers = layer.rule()
        self.drives = empty(x, steps, layer.batch, width)
        self.bias = x.new_zeros(width) if bias_ih is None else bias_ih.contiguous()
        self.sums = x.new_zeros(layer.threads, 2, dtype=torch.float64)
        self.learned = given.learned

    def apply(self, k: int, steps: slice, local: Tensor) -> None:
        """Replaces the gradients of what the cell read by those of the drives."""
        again = self.drives[: steps.stop - steps.start]
        self.layer.drive(steps, again, self.bias)
        sizes = self.layer.sizes(steps, self.layer.width)
        tail = (*self.marks[k], *self.moments, self.sums if self.learned else None)
        call("adam_rule_backward", *sizes, *self.numbers, again, local, *tail)

    def found(self) -> list[Tensor]:
        """The gradients of the moments, ``mu`` and the gain."""
        return [*self.moments, *self.sums.sum(0).to(self.layer.x.dtype).unbind(0)]


def backward(
    problem: Problem, results: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """The gradients of the input, the state, the weights and the moments, in this order.

    Args:
        problem: The layer.
        results: The outputs, and what the forward kept: gates, cells, marks, what is normalized.
        grads: Of the outputs, the last state and the last moments, each or None.
    """
    if not problem.train:  # the forward could not see that a gradient would be asked for
        problem = problem._replace(train=True)
        out, *_, gates, kept, marks, normal = forward(problem)
    else:
        out, gates, kept, marks, normal = results
    if serves(problem):
        return whole_backward(problem, (out, gates, kept), grads)
    layer = Layer(problem)
    x, batch, hidden = layer.x, layer.batch, layer.hidden
    pieces, states = chunks(layer.time, batch, layer.width), len(problem.state)
    longest = pieces[0].stop
    grad_out = None if grads[0] is None else grads[0].contiguous()
    moments = () if problem.moments is None else problem.moments[:2]
    carried = begun((*problem.state, *moments), grads[1:])
    local = empty(x, longest, batch, layer.width)
    recurrent = empty(x, *local.shape) if layer.kernel == "gru" else local
    packed, sums = layer.pack("backward"), _Sums(layer)
    rule = _RuleGradient(layer, marks, carried[states:], longest) if moments else None
    norms: NormGradients | None = None
    if problem.modifiers.normalizes():
        norms = NormGradients(problem, Norms(problem, layer.time, normal), longest, layer.threads)
    product_grad = recurrent if norms is None else norms.made
    # of what the products read, of a chunk's steps and of the two behind it
    operands = empty(x, longest + 2 if layer.leads else 0, batch, hidden)
    behind = x.new_zeros(2, batch, hidden) if layer.leads else None
    made = gates if layer.keeps_gates else out
    for k, steps in reversed(list(enumerate(pieces))):
        count = steps.stop - steps.start
        if behind is not None:
            operands[count : count + 2] = behind
        pulled = None if grad_out is None else grad_out[steps]
        arrays = pulled, *packed, local, recurrent, *carried[:states]
        table = None if norms is None else norms.table(steps)
        _run_cell(layer, steps, (out, made, kept), arrays, operands, table)
        if behind is not None:
            behind = operands[:2].clone() if count > 1 else torch.stack([operands[0], behind[0]])
        sums.add_recurrent(steps, recurrent[:count], product_grad[:count], out, made)
        if rule is not None:
            rule.apply(k, steps, local)
        sums.add_input(steps, local[:count])
    found = sums.found(carried[:states])
    if behind is not None:
        found += _of_first_operands(layer, behind, carried[0])
    if norms is not None:
        found += norms.found()
    return found if rule is None else found + rule.found()


def _of_first_operands(layer: Layer, behind: Tensor, grad_h: Tensor) -> list[Tensor]:
    """The first two products read the state that was given: its gradient is added to."""
    through = layer.modifiers.seen(behind)
    grad_h += through[0]
    if layer.mu is None:
        return []
    led = layer.mu[:2] * through
    grad_h += led[0] - led[1]
    return [-led[0]]  # of the state before


def _run_cell(
    layer: Layer,
    steps: slice,
    results: tuple[Tensor, Tensor, Tensor],
    arrays: tuple[Any, ...],
    operands: Tensor,
    norms: Tensor | None,
) -> None:
    """The gradients of a chunk's pre-activations, and of what ``weight_hh`` made, into buffers."""
    out, made, kept = results
    pulled, packed, bfloat16, local, recurrent, *carried = arrays
    before, state = steps.start - 1, layer.problem.state
    sizes, tail = layer.sizes(steps, layer.hidden), layer.modified(steps, operands, norms)
    args: list[Any]
    if layer.kernel == "lstm":
        cell = kept[before] if steps.start else state[1].contiguous()
        args = [made[steps], kept[steps], cell, pulled, packed, bfloat16, local]
    elif layer.kernel == "gru":
        h = out[before] if steps.start else state[0].contiguous()
        args = [made[steps], out[steps], kept[steps], h, pulled, packed, bfloat16, local, recurrent]
    else:
        args = [made[steps], pulled, packed, bfloat16, local, layer.activation]
    call(f"{layer.kernel}_backward", *sizes, *args, *carried, *tail)
