"""The forward of a layer on the compiled kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.chunks import chunks, most_chunks
from torchmomentum.ops.cpu.layer import Layer
from torchmomentum.ops.cpu.library import call
from torchmomentum.ops.cpu.norms import Norms
from torchmomentum.ops.cpu.pool import empty
from torchmomentum.ops.cpu.whole import serves, whole_forward


def forward(problem: Problem) -> tuple[Tensor, ...]:
    """The outputs, the last state, a rule's last moments, and what the backward needs.

    That is the gates, the cells (or a GRU's inner products), a rule's moments at the chunks'
    beginnings, and what is normalized.
    """
    problem.check()
    if serves(problem):
        return whole_forward(problem)
    layer = Layer(problem)
    x, time, batch, width = layer.x, layer.time, layer.batch, layer.width
    pieces, keep, hidden = chunks(time, batch, width), layer.keeps_gates, layer.hidden
    kept_time = time if keep else pieces[0].stop
    gates = empty(x, kept_time, batch, width)
    kept = empty(x, kept_time if layer.kernel != "rnn" else 0, batch, hidden)
    out = x.new_empty(time, batch, hidden)
    rule = _Rule(layer) if problem.moments is not None else None
    bias = layer.bias(problem.bias_ih) if rule is None else rule.bias
    norms = None
    if problem.modifiers.normalizes():
        norms = Norms(problem, time if problem.train else pieces[0].stop)
    # a step alone is not worth the packing
    alone = time == 1 and layer.kernel != "gru" and norms is None
    packed = (None, False) if alone else layer.pack("forward")
    h, *cell = [s.contiguous() for s in problem.state]
    operands = empty(x, pieces[0].stop if layer.leads else 0, batch, hidden)
    for k, steps in enumerate(pieces):
        here = steps if keep else slice(0, steps.stop - steps.start)
        pre, now = gates[here], kept[here]
        layer.drive(steps, pre, bias)
        if rule is not None:
            rule.apply(k, steps, pre)
        first = h
        if layer.leads:
            first = operands[0] = layer.read(slice(steps.start, steps.start + 1), out)[0]
        if alone:
            pre[0].addmm_(first, problem.weight_hh.t())
        table = None
        if norms is not None:
            table = norms.table(steps if problem.train else here)
        arrays = pre, out[steps], now, operands, table
        _run_cell(layer, steps, arrays, [h, *cell], packed)
        if layer.kernel == "lstm":
            cell = [now[-1]]
        h = out[steps.stop - 1]
    normal = norms.kept if norms is not None and problem.train else x.new_empty(0)
    if not keep:
        gates, kept = x.new_empty(0), x.new_empty(0)
    last, marks = ([], x.new_empty(0)) if rule is None else (rule.moments, rule.marks.view(-1))
    return out, h.clone(), *[c.clone() for c in cell], *last, gates, kept, marks, normal


class _Rule:
    """The Adam rule of a forward: its moments, and where they stood as chunks began."""

    def __init__(self, layer: Layer) -> None:
        problem = layer.problem
        x, batch, width, moments = layer.x, layer.batch, layer.width, problem.moments
        if moments is None:
            raise TypeError("there is no rule")
        self.layer, self.numbers, self.shift = layer, layer.rule(), layer.bias(None)
        bias_ih = problem.bias_ih
        self.bias = x.new_zeros(width) if bias_ih is None else bias_ih.contiguous()
        self.moments = [m.clone(memory_format=torch.contiguous_format) for m in moments[:2]]
        most = most_chunks(layer.time, batch, width) if problem.train else 0
        self.marks = empty(x, most, 2, batch, width)

    def apply(self, k: int, steps: slice, drives: Tensor) -> None:
        """Replaces the drives of a chunk by what the cell reads."""
        if self.layer.problem.train:
            self.marks[k, 0], self.marks[k, 1] = self.moments
        sizes = self.layer.sizes(steps, self.layer.width)
        call("adam_rule_forward", *sizes, *self.numbers, drives, *self.moments, self.shift)


def _run_cell(
    layer: Layer,
    steps: slice,
    arrays: tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None],
    state: list[Tensor],
    packed: tuple[Tensor | None, bool],
) -> None:
    """The steps of a chunk: from its pre-activations to activated gates, outputs and cells."""
    pre, out, now, operands, norms = arrays
    sizes, tail = layer.sizes(steps, layer.hidden), layer.modified(steps, operands, norms)
    args: list[Any]
    if layer.kernel == "lstm":
        args = [pre, out, now, *state, *packed]
    elif layer.kernel == "gru":
        bias = layer.problem.bias_hh
        inner = None if bias is None else bias[2 * layer.hidden :].contiguous()
        args = [pre, out, now, *state, *packed, inner]
    else:
        modrelu = None if layer.modrelu is None else layer.modrelu.contiguous()
        made = pre if layer.keeps_gates else None
        args = [pre, out, *state, *packed, layer.activation, modrelu, made]
    call(f"{layer.kernel}_forward", *sizes, *args, *tail)
