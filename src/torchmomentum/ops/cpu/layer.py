"""What the forward and the backward of a layer on the compiled kernels share.

They compute in float32. Of bfloat16 tensors the products are in bfloat16 too, with sums, gates,
states and a rule's moments in float32; float16 is float32 in all but its storage.

The input is either what ``weight_ih`` multiplies or, without that, the pre-activations themselves.

A plain layer of one chunk is one call (:mod:`.whole`). Else time is cut into chunks whose
pre-activations fit the cache. The forward makes a chunk's
pre-activations by one matrix product, a rule of two moments changes them in place, and the cell
turns them into activated gates in place. The backward makes a chunk's gradients in a buffer that is
used again, and from it those of the input and of the weights by one product each; a rule's drives
are made again and its moments followed from where the chunk began. So what is kept from forward to
backward is the gates and the cell states, and nothing else of their size ever exists.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.library import call, product

# the cells that have kernels, by their key; those of the Elman networks take a number
KERNELS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn", "RNN_RELU": "rnn", "RNN_MODRELU": "rnn"}
ACTIVATIONS = {"RNN_TANH": 0, "RNN_RELU": 1, "RNN_MODRELU": 2}
FEW = 8  # rows below which to pack weights for a product costs more than the product


@functools.cache
def _packed_size(gates: int, hidden: int) -> int:
    return call("packed_size", gates, hidden)


def begun(held: Sequence[Tensor], grads: Sequence[Tensor | None]) -> list[Tensor]:
    """The gradients that a backward goes on from, in memory of its own: zeros where there is none.

    Args:
        held: The states and moments.
        grads: Those of their last values.
    """
    return [
        s.new_zeros(s.shape) if g is None else g.clone(memory_format=torch.contiguous_format)
        for s, g in zip(held, grads, strict=True)
    ]


class Layer:
    """A problem with what both directions need of it at hand."""

    def __init__(self, problem: Problem) -> None:
        x, modifiers = problem.x, problem.modifiers
        self.problem, self.x, self.modifiers = problem, x, modifiers
        self.kernel = KERNELS[problem.cell.key]
        self.activation = ACTIVATIONS.get(problem.cell.key)
        self.modrelu = problem.extra.get("bias_modrelu")
        self.time, self.batch, self.inputs = x.shape
        self.width, self.hidden = problem.weight_hh.shape
        self.threads = torch.get_num_threads()
        # whether the products read something else than h
        self.leads = modifiers.changes_operand()
        gated = self.kernel != "rnn"
        self.keeps_gates = problem.train and (gated or modifiers.has_zoneout())
        self.mu: Tensor | None = None
        if self.leads:
            mu = modifiers.momenta(self.time, x.dtype)
            if mu is not None:  # how far each step looks ahead: zero beyond the sequence
                self.mu = torch.cat([mu, mu.new_zeros(2, *mu.shape[1:])])  # (T + 2, B, 1)

    def drive(self, steps: slice, out: Tensor, bias: Tensor) -> None:
        """What the rule or the cell reads of these steps, into ``out`` ``(T, B, width)``."""
        weight_ih = self.problem.weight_ih
        if weight_ih is None:
            torch.add(self.x[steps], bias, out=out)
            return
        rows, flat = self.rows(steps), out.view(-1, self.width)
        if len(rows) < FEW:
            torch.addmm(bias, rows, weight_ih.t(), out=flat)
        else:
            product(flat, rows, weight_ih.t(), bias, self.problem.bfloat16_products)

    def rows(self, steps: slice) -> Tensor:
        """The input of these steps, ``(T B, I)``."""
        return self.x[steps].reshape(-1, self.inputs).contiguous()

    def sizes(self, steps: slice, channels: int) -> list[Any]:
        """The arguments that every kernel along time begins with."""
        lengths = self.problem.lengths
        alive = None if lengths is None else lengths - steps.start
        return [steps.stop - steps.start, self.batch, channels, alive, self.threads]

    def modified(self, steps: slice, operands: Tensor, norms: Tensor | None) -> list[Any]:
        """What a cell's kernel ends with: operands, zoneout of each state, and norms."""
        m = self.modifiers
        found: list[Any] = [None, None, None, 1.0]
        if self.leads:
            mask = None if m.keep_mask is None else m.keep_mask.contiguous()
            mu = None if self.mu is None else self.mu[steps.start :]
            found = [operands, mu, mask, m.keep_scale]
        h, c = m.zoneout_h, m.zoneout_c
        found += [None if h is None else h[steps].contiguous(), m.rate_h]
        if len(self.problem.state) == 2:
            found += [None if c is None else c[steps].contiguous(), m.rate_c]
        return [*found, norms]

    def read(self, steps: slice, out: Tensor) -> tuple[Tensor, Tensor]:
        """What the products of these steps read, the last ``h`` or an operand.

        Returns:
            That of the first step, ``(B, H)``, and those of the others, ``(T - 1, B, H)``.
        """
        first, last = steps.start, steps.stop - 1
        begin, previous, mu = self.problem.state[0][None], self.modifiers.previous, self.mu
        if not self.leads:
            return (out[first - 1] if first else begin[0].contiguous()), out[first:last]
        past = out[first - 1 : last] if first else torch.cat([begin, out[:last]])
        before = None
        if mu is not None and previous is not None:
            head = previous[None] if not first else begin if first == 1 else None
            head = out[first - 2 : first - 1] if head is None else head
            before, mu = torch.cat([head, past[:-1]]), mu[steps]
        operands = self.modifiers.operand(past, before, mu).contiguous()
        return operands[0], operands[1:]

    def bias(self, bias_ih: Tensor | None) -> Tensor:
        """What is added to all pre-activations; a GRU's n has its recurrent one in the product."""
        bias_hh = self.problem.bias_hh
        if bias_hh is None:
            if bias_ih is None:
                return self.problem.weight_hh.new_zeros(self.width)
            return bias_ih.contiguous()
        if self.kernel == "gru":
            bias_hh = torch.cat([bias_hh[: 2 * self.hidden], bias_hh.new_zeros(self.hidden)])
        return (bias_hh if bias_ih is None else bias_ih + bias_hh).contiguous()

    def rule(self) -> tuple[float, float, float, float]:
        """The momentum, the gain, the beta and the epsilon of the Adam rule."""
        moments = self.problem.moments
        if moments is None:
            raise TypeError("there is no rule")
        mu, gain = (s.item() if isinstance(s, Tensor) else s for s in moments[2:4])
        return float(mu), float(gain), float(moments.beta), float(moments.eps)

    def pack(self, direction: str) -> tuple[Tensor, bool]:
        """The recurrent weights in the order in which a kernel reads them; whether in bfloat16."""
        weight, bfloat16 = self.problem.weight_hh, self.problem.bfloat16_products
        gates = self.width // self.hidden
        packed = weight.new_empty(_packed_size(gates, self.hidden))
        tail = gates, self.hidden, bfloat16, self.threads
        call(f"pack_{direction}", packed, weight.contiguous(), *tail)
        return packed, bfloat16
