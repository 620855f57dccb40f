"""The compiled CPU kernels as layers: one recurrent layer from its input to its outputs.

They compute in float32. Of bfloat16 tensors the products are in bfloat16 too, with sums, gates,
states and a rule's moments in float32; float16 is float32 in all but its storage.

The input is either what ``weight_ih`` multiplies or, without that, the pre-activations themselves.

Time is cut into chunks whose pre-activations fit the cache. The forward makes a chunk's
pre-activations by one matrix product, a rule of two moments changes them in place, and the cell
turns them into activated gates in place. The backward makes a chunk's gradients in a buffer that is
used again, and from it those of the input and of the weights by one product each; a rule's drives
are made again and its moments followed from where the chunk began. So what is kept from forward to
backward is the gates and the cell states, and nothing else of their size ever exists.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from torchmomentum.ops._adam import LARGEST, adam_scan_definition, largest_drive
from torchmomentum.ops._kernels import available, call, product
from torchmomentum.ops._library import define_recurrence, transformed
from torchmomentum.ops._memory import empty
from torchmomentum.ops._options import (
    CONSTANT_SCHEMA,
    NOTHING,
    TENSOR_SCHEMA,
    TENSORS,
    Expected,
    Options,
    require,
)
from torchmomentum.ops._steps import GATES, State, scan_definition, steps_alive

_CACHED = 2**20  # floats of a chunk that stay in the cache
_ROWS = 1024  # least rows of a chunk: fewer make the products with the weights slow
_NARROW = 16  # inputs up to which the transposed product for their weights is the faster one
_FEW = 8  # rows below which to pack weights for a product costs more than the product
HALF = (torch.bfloat16, torch.float16)
_PLAIN = (Tensor, torch.nn.Parameter)  # a subclass may have no memory of its own
_GATED = ("LSTM", "GRU")  # their gradients need more than the outputs
_ACTIVATIONS = {"RNN_TANH": 0, "RNN_RELU": 1, "RNN_MODRELU": 2}  # as the kernels number them


class Moments(NamedTuple):
    """The Adam rule's parameters, as :func:`adam_scan` has them, and its state."""

    velocity: Tensor
    rms: Tensor
    mu: float | Tensor
    gain: float | Tensor
    beta: float
    eps: float


def _rule_numbers(like: Tensor, mu: float, gain: float, beta: float, eps: float) -> Tensor:
    limits = largest_drive(like, gain), largest_drive(like), LARGEST
    return like.new_tensor([mu, gain, beta, eps, math.sqrt(beta), math.sqrt(1 - beta), *limits])


class _Layer(NamedTuple):
    """The operators' arguments by name."""

    x: Tensor
    state: State
    weight_ih: Tensor | None
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    bias_modrelu: Tensor | None
    lengths: Tensor | None
    moments: Sequence[Tensor]  # velocity, rms, mu, gain; or none
    options: Options
    mode: str
    train: bool
    input_grad: bool
    halves: bool
    beta: float
    eps: float
    learned: bool

    def product(self, out: Tensor, a: Tensor, b: Tensor, start: Tensor | None = None) -> None:
        """See :func:`product`, in the layer's precision."""
        product(out, a, b, start, self.halves)

    def input(self, steps: slice) -> Tensor:
        return self.x[steps].reshape(-1, self.x.shape[-1])

    def drive(self, steps: slice, out: Tensor, bias: Tensor) -> None:
        """What the rule or the cell reads of these steps, into ``out`` ``(T, B, width)``."""
        if self.weight_ih is None:
            torch.add(self.x[steps], bias, out=out)
        elif len(self.input(steps)) < _FEW:
            torch.addmm(bias, self.input(steps), self.weight_ih.t(), out=out.view(-1, len(bias)))
        else:
            self.product(out.view(-1, len(bias)), self.input(steps), self.weight_ih.t(), bias)

    def problem(self, steps: slice, channels: int) -> list[Any]:
        """The arguments that every kernel along time begins with."""
        alive = None if self.lengths is None else self.lengths - steps.start
        size = steps.stop - steps.start, self.x.shape[1], channels
        return [*size, alive, torch.get_num_threads()]

    @property
    def keeps_gates(self) -> bool:
        """Whether the backward needs more than the outputs."""
        return self.train and (self.mode in _GATED or self.options.zones)

    def zones(self, steps: slice) -> list[Any]:
        """The arguments for zoneout, of each state."""
        o = self.options
        pairs = (o.zoneout_h, o.rate_h), (o.zoneout_c, o.rate_c)
        found: list[Any] = []
        for mask, rate in pairs[: len(self.state)]:
            found += [None if mask is None else mask[steps].contiguous(), rate]
        return found

    def momenta(self) -> Tensor | None:
        """How far each step looks ahead, ``(T + 2, B, 1)``: zero beyond the sequence."""
        mu = self.options.momenta(len(self.x), self.x.dtype)
        if mu is None:
            return None
        return torch.cat([mu, mu.new_zeros(2, *mu.shape[1:])])

    def operand(self, rows: Tensor, mu: Tensor | None, first: int) -> list[Any]:
        """The arguments for what the products read, from the step ``first`` on."""
        if not self.options.changes_operand:
            return [None, None, None, 1.0]
        kept = self.options.dropout
        kept = None if kept is None else kept.contiguous()
        return [rows, None if mu is None else mu[first:], kept, self.options.scale]

    def read(self, steps: slice, out: Tensor, mu: Tensor | None) -> Tensor:
        """What the products of these steps read, ``(T, B, H)``: the last ``h`` or an operand."""
        first, last = steps.start, steps.stop - 1
        begin = self.state[0][None]
        past = out[first - 1 : last] if first else torch.cat([begin, out[:last]])
        if not self.options.changes_operand:
            return past
        before = None
        if mu is not None and self.options.previous is not None:
            head = self.options.previous[None] if not first else begin if first == 1 else None
            head = out[first - 2 : first - 1] if head is None else head
            before, mu = torch.cat([head, past[:-1]]), mu[steps]
        return self.options.operand(past, before, mu).contiguous()

    def bias(self, bias_ih: Tensor | None) -> Tensor:
        """What is added to all pre-activations; a GRU's n has its recurrent one in the product."""
        total = self.weight_hh.new_zeros(self.weight_hh.shape[0])
        if bias_ih is not None:
            total += bias_ih
        if self.bias_hh is not None:
            shared = slice(2 * self.weight_hh.shape[1] if self.mode == "GRU" else None)
            total[shared] += self.bias_hh[shared]
        return total

    def rule(self) -> Tensor:
        """The numbers of the Adam rule as its kernels take them."""
        mu, gain = (s.item() for s in self.moments[2:])
        return _rule_numbers(self.x, mu, gain, self.beta, self.eps)


@functools.cache
def _packed_size(gates: int, hidden: int) -> int:
    return call("packed_size", gates, hidden)


def _pack(layer: _Layer, direction: str) -> tuple[Tensor, bool]:
    """The recurrent weights in the order in which a kernel reads them, and whether in bfloat16."""
    rows, hidden = layer.weight_hh.shape
    packed = layer.weight_hh.new_empty(_packed_size(rows // hidden, hidden))
    size = rows // hidden, hidden, layer.halves, torch.get_num_threads()
    call(f"pack_{direction}", packed, layer.weight_hh.contiguous(), *size)
    return packed, layer.halves


def _most_chunks(time: int, batch: int, width: int) -> int:
    """How many chunks there are at the most, each of them small enough for the cache."""
    longest = max(1, max(_CACHED // width, _ROWS) // max(batch, 1))
    return -(-time // longest)


def _chunks(time: int, batch: int, width: int) -> list[slice]:
    steps = -(-time // _most_chunks(time, batch, width))  # all about as long
    return [slice(t, min(t + steps, time)) for t in range(0, time, steps)]


def _check(layer: _Layer) -> None:
    """The kernels check nothing: what does not fit must not reach them."""
    (batch, inputs), (width, hidden) = layer.x.shape[1:], layer.weight_hh.shape
    time = len(layer.x)
    if layer.mode == "RNN_MODRELU" and layer.bias_modrelu is None:
        raise ValueError("RNN_MODRELU needs its bias")
    expected: list[Expected] = [
        ("weight_hh", layer.weight_hh, (GATES[layer.mode] * hidden, hidden), None),
        ("weight_ih", layer.weight_ih, (width, inputs), None),
        ("pre", layer.x if layer.weight_ih is None else None, (time, batch, width), None),
        ("bias_ih", layer.bias_ih, (width,), None),
        ("bias_hh", layer.bias_hh, (width,), None),
        ("bias_modrelu", layer.bias_modrelu, (width,), None),
        ("lengths", layer.lengths, (batch,), torch.int64),
        *layer.options.expected(time, batch, hidden, hidden, width),
        *(("state", s, (batch, hidden), None) for s in layer.state),
        *(("moments", s, (batch, width), None) for s in layer.moments[:2]),
    ]
    require(expected, torch.float32)


def _forward(layer: _Layer) -> tuple[Tensor, ...]:
    """The outputs, the last state, a rule's last moments, and what the backward needs.

    That is the gates, the cells (or a GRU's inner products) and a rule's moments at the chunks'
    beginnings.
    """
    _check(layer)
    x, mode, keep = layer.x, layer.mode, layer.keeps_gates
    time, batch, _ = x.shape
    width, hidden = layer.weight_hh.shape
    chunks = _chunks(time, batch, width)
    kept_time = time if keep else chunks[0].stop
    gates = empty(x, kept_time, batch, width)
    kept = empty(x, kept_time if mode in _GATED else 0, batch, hidden)
    out = x.new_empty(time, batch, hidden)
    moments = [m.clone(memory_format=torch.contiguous_format) for m in layer.moments[:2]]
    most = _most_chunks(time, batch, width)
    marks = empty(x, most if layer.train and moments else 0, 2, batch, width)
    if moments:
        rule, bias_ih, shift = layer.rule(), layer.bias_ih, layer.bias(None)
        bias = layer.weight_hh.new_zeros(width) if bias_ih is None else bias_ih.contiguous()
    else:
        bias = layer.bias(layer.bias_ih)
    # a step alone, as in streaming, is not worth the packing
    alone = time == 1 and batch < _FEW and mode != "GRU"
    packed = (None, False) if alone else _pack(layer, "forward")
    inner_bias = None if layer.bias_hh is None else layer.bias_hh[2 * hidden :].contiguous()
    h, *cell = (s.contiguous() for s in layer.state)
    modrelu = None if layer.bias_modrelu is None else layer.bias_modrelu.contiguous()
    mu = layer.momenta()
    operands = empty(x, chunks[0].stop if layer.options.changes_operand else 0, batch, hidden)
    for k, steps in enumerate(chunks):
        here = steps if keep else slice(0, steps.stop - steps.start)
        pre, now = gates[here], kept[here]
        layer.drive(steps, pre, bias)
        if moments:
            if layer.train:
                marks[k, 0], marks[k, 1] = moments
            call("adam_rule_forward", *layer.problem(steps, width), rule, pre, *moments, shift)
        first = h
        if layer.options.changes_operand:
            first = operands[0] = layer.read(slice(steps.start, steps.start + 1), out, mu)[0]
        if alone:
            pre[0].addmm_(first, layer.weight_hh.t())
        problem = layer.problem(steps, hidden)
        besides = (*layer.operand(operands, mu, steps.start), *layer.zones(steps))
        if mode == "LSTM":
            call("lstm_forward", *problem, pre, out[steps], now, h, *cell, *packed, *besides)
            cell = [now[-1]]
        elif mode == "GRU":
            call("gru_forward", *problem, pre, out[steps], now, h, *packed, inner_bias, *besides)
        else:
            tail = _ACTIVATIONS[mode], modrelu, pre if keep else None, *besides
            call("rnn_forward", *problem, pre, out[steps], h, *packed, *tail)
        h = out[steps.stop - 1]
    if not keep:
        gates, kept = x.new_empty(0), x.new_empty(0)
    return out, h.clone(), *(c.clone() for c in cell), *moments, gates, kept, marks


def _cell_backward(
    layer: _Layer,
    steps: slice,
    results: Sequence[Tensor],
    pulled: Tensor | None,
    packed: tuple[Tensor, bool],
    buffers: Sequence[Tensor],
    carried: Sequence[Tensor],
    besides: Sequence[Any],
) -> None:
    """The gradients of a chunk's pre-activations, and of what ``weight_hh`` made, into buffers."""
    out, gates, kept = results
    local, recurrent = buffers
    before = steps.start - 1
    problem = layer.problem(steps, out.shape[-1])
    tail: list[Any]
    if layer.mode == "LSTM":
        cell = kept[before] if steps.start else layer.state[1].contiguous()
        tail = [gates[steps], kept[steps], cell, pulled, *packed, local, *carried]
        call("lstm_backward", *problem, *tail, *besides)
    elif layer.mode == "GRU":
        h = out[before] if steps.start else layer.state[0].contiguous()
        tail = [gates[steps], out[steps], kept[steps], h, pulled, *packed, local, recurrent]
        call("gru_backward", *problem, *tail, *carried, *besides)
    else:
        made = gates if layer.keeps_gates else out
        tail = [made[steps], pulled, *packed, local, _ACTIVATIONS[layer.mode], *carried]
        call("rnn_backward", *problem, *tail, *besides)


def _backward(
    layer: _Layer, results: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor]:
    """The gradients of the input, the state, the weights and the moments, in this order."""
    if not layer.train:  # the forward could not see that a gradient would be asked for
        layer = layer._replace(train=True)
        out, *_, gates, kept, marks = _forward(layer)
    else:
        out, gates, kept, marks = results
    x, batch, inputs = layer.x, *layer.x.shape[1:]
    width, hidden = layer.weight_hh.shape
    chunks = _chunks(x.shape[0], batch, width)
    grad_out = None if grads[0] is None else grads[0].contiguous()
    carried = [
        s.new_zeros(s.shape) if g is None else g.clone(memory_format=torch.contiguous_format)
        for s, g in zip((*layer.state, *layer.moments[:2]), grads[1:], strict=True)
    ]
    states = len(layer.state)
    local = empty(x, chunks[0].stop, batch, width)
    recurrent = empty(x, *local.shape) if layer.mode == "GRU" else local
    packed = _pack(layer, "backward")
    grad_x = x.new_empty(x.shape) if layer.input_grad else x.new_zeros(x.shape)
    narrow = inputs < _NARROW
    if layer.weight_ih is not None:
        grad_ih = x.new_zeros((inputs, width) if narrow else (width, inputs))
    grad_hh = x.new_zeros(width, hidden)
    grad_bias_ih, grad_bias_hh = x.new_zeros(width), x.new_zeros(width)
    no_input, no_bias = x.new_zeros(inputs), x.new_zeros(width)
    sums = x.new_zeros(torch.get_num_threads(), 2, dtype=torch.float64)
    if layer.moments:
        rule, drives = layer.rule(), empty(x, *local.shape)
        bias = no_bias if layer.bias_ih is None else layer.bias_ih.contiguous()
    kept_results, buffers, mu = (out, gates, kept), (local, recurrent), layer.momenta()
    # of what the products read, of a chunk's steps and of the two behind it
    operands = empty(x, chunks[0].stop + 2 if layer.options.changes_operand else 0, batch, hidden)
    grad_modrelu = x.new_zeros(hidden)
    behind = x.new_zeros(2, batch, hidden)
    for k, steps in reversed(list(enumerate(chunks))):
        first, count = steps.start, steps.stop - steps.start
        pulled = None if grad_out is None else grad_out[steps]
        if layer.options.changes_operand:
            operands[count : count + 2] = behind
        besides = (*layer.operand(operands, mu, first), *layer.zones(steps))
        _cell_backward(
            *(layer, steps, kept_results, pulled, packed, buffers, carried[:states], besides)
        )
        if layer.options.changes_operand:
            behind = operands[:2].clone() if count > 1 else torch.stack([operands[0], behind[0]])
        flat, flat_hh = (part[:count].view(-1, width) for part in buffers)
        layer.product(grad_hh, flat_hh.t(), layer.read(steps, out, mu).view(-1, hidden))
        if layer.bias_modrelu is not None:
            sign = torch.sign((gates if layer.keeps_gates else out)[steps])
            grad_modrelu += (local[:count] * sign).sum((0, 1))
        if layer.bias_hh is not None:
            grad_bias_hh += flat_hh.sum(0)
        if layer.moments:
            again = drives[:count]
            layer.drive(steps, again, bias)
            tail = (*marks[k], *carried[states:], sums if layer.learned else None)
            call("adam_rule_backward", *layer.problem(steps, width), rule, again, local, *tail)
        if layer.bias_ih is not None:
            grad_bias_ih += flat.sum(0)
        if layer.weight_ih is None:
            grad_x[steps] = local[:count]
            continue
        if narrow:
            grad_ih.addmm_(layer.input(steps).t(), flat)
        else:
            layer.product(grad_ih, flat.t(), layer.input(steps))
        if layer.input_grad:
            layer.product(grad_x[steps].view(-1, inputs), flat, layer.weight_ih, no_input)
    grad_previous = None
    if layer.options.changes_operand:  # the first two products read the state that was given
        through = layer.options.seen(behind)
        carried[0] += through[0]
        if mu is not None:
            led = mu[:2] * through
            carried[0] += led[0] - led[1]
            grad_previous = -led[0]
    found = [grad_x, *carried[:states]]
    if layer.weight_ih is not None:
        found.append(grad_ih.t().contiguous() if narrow else grad_ih)
    found.append(grad_hh)
    if layer.bias_ih is not None:
        found.append(grad_bias_ih)
    if layer.bias_hh is not None:
        found.append(grad_bias_hh)
    if layer.bias_modrelu is not None:
        found.append(grad_modrelu)
    if grad_previous is not None:
        found.append(grad_previous)
    if layer.moments:
        found += [*carried[states:], *sums.sum(0).to(x.dtype).unbind(0)]
    return found


# --- the operators ------------------------------------------------------------------------------

_CONSTANTS = (
    "str mode, bool train, bool input_grad, bool halves, float beta, float eps, bool learned, "
    + CONSTANT_SCHEMA
)
_NUMBERS = len(_CONSTANTS.split(","))


def _define(name: str, states: int, moments: bool) -> Any:
    """Registers one cell's layer, with a rule of two moments or without."""

    def named(args: Sequence[Any]) -> _Layer:
        tensors, constants = args[: len(args) - _NUMBERS], args[len(args) - _NUMBERS :]
        state, rest = tuple(tensors[1 : 1 + states]), tensors[1 + states :]
        weights, besides, moments = rest[:6], rest[6 : 6 + TENSORS], rest[6 + TENSORS :]
        options = Options(*besides, *constants[7:])
        return _Layer._make((tensors[0], state, *weights, moments, options, *constants[:7]))

    def definition(*args: Any) -> State:
        layer = named(args)
        mask = None if layer.lengths is None else steps_alive(len(layer.x), layer.lengths)
        pre, last = layer.x, list[Tensor]()
        if layer.weight_ih is not None:
            pre = linear(pre, layer.weight_ih)
        if layer.bias_ih is not None:
            pre = pre + layer.bias_ih
        if moments:
            velocity, rms, mu, gain = layer.moments
            pre, *last = adam_scan_definition(
                pre, velocity, rms, mu, gain, mask, layer.beta, layer.eps
            )
        recurrent = [layer.weight_hh, layer.bias_hh]
        if layer.bias_modrelu is not None:
            recurrent.append(layer.bias_modrelu)
        outputs = scan_definition(layer.mode, pre, layer.state, recurrent, mask, layer.options)
        return *outputs, *last

    def forward(*args: Any) -> tuple[Tensor, ...]:
        return _forward(named(args))

    def backward(tensors: Any, results: Any, grads: Any, constants: Any) -> list[Tensor]:
        return _backward(named([*tensors, *constants]), (results[0], *results[-3:]), grads)

    def fake(*args: Any) -> tuple[Tensor, ...]:
        layer = named(args)
        x, (width, hidden) = layer.x, layer.weight_hh.shape
        time, batch, _ = x.shape
        out = x.new_empty(time, batch, hidden)
        saved = x.new_empty(0), x.new_empty(0)
        if layer.keeps_gates:
            cells = time if layer.mode in _GATED else 0
            saved = x.new_empty(time, batch, width), x.new_empty(cells, batch, hidden)
        marks = _most_chunks(time, batch, width) if layer.train and moments else 0
        last = (s.new_empty(s.shape) for s in (*layer.state, *layer.moments[:2]))
        return out, *last, *saved, x.new_empty(marks, 2, batch, width)

    return define_recurrence(
        name,
        arguments="Tensor x, "
        + "".join(f"Tensor state_{i}, " for i in range(states))
        + "Tensor? weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "
        + f"Tensor? bias_modrelu, Tensor? lengths, {TENSOR_SCHEMA}"
        + (", Tensor velocity, Tensor rms, Tensor mu, Tensor gain" if moments else ""),
        constants=_CONSTANTS,
        outputs=1 + states + 2 * moments,
        saved=3,
        at_backward=lambda fixed, needs: (*fixed[:2], needs[0], *fixed[3:]),
        definition=definition,
        forward=forward,
        backward=backward,
        fake=fake,
    )


def _define_all(moments: bool) -> dict[str, Any]:
    prefix = "cpu_adam" if moments else "cpu"
    lstm, gru, rnn = (
        _define(f"{prefix}_{name}", states, moments)
        for name, states in (("lstm", 2), ("gru", 1), ("rnn", 1))
    )
    return {"LSTM": lstm, "GRU": gru, **dict.fromkeys(_ACTIVATIONS, rnn)}


_LAYERS, _MOMENT_LAYERS = _define_all(False), _define_all(True)


def step_serves(mode: str, tensors: Sequence[Tensor | None]) -> bool:
    """Whether :func:`step` runs a step on these: float32 on a CPU, no gradient asked for."""
    return (
        mode != "GRU"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not transformed()
        and all(
            t is None or (t.dtype == torch.float32 and t.device.type == "cpu" and type(t) in _PLAIN)
            for t in tensors
        )
        and available()
    )


def step(
    mode: str,
    drive: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    moments: Moments | None = None,
) -> State:
    """One step of a stream, without gradients and in as few calls as may be.

    Args:
        mode: ``LSTM``, ``RNN_TANH`` or ``RNN_RELU``.
        drive: ``W x + b_ih`` of the step or what a rule made of it, ``(B, G H)``; written to.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weight_hh: ``(G H, H)``.
        bias_hh: ``(G H,)``, or None.
        moments: The Adam rule, which the drive goes through.

    Returns:
        The state, and with ``moments`` the velocity and root.
    """
    batch, width = drive.shape
    hidden, last = weight_hh.shape[1], list[Tensor]()
    drive = drive.contiguous()
    if moments is not None:
        last = [m.clone(memory_format=torch.contiguous_format) for m in moments[:2]]
        shift = drive.new_zeros(width) if bias_hh is None else bias_hh.contiguous()
        pair = float(moments.mu), float(moments.gain)
        rule = _rule_numbers(drive, *pair, moments.beta, moments.eps)
        call("adam_rule_forward", 1, batch, width, None, 1, rule, drive, *last, shift)
    elif bias_hh is not None:
        drive.add_(bias_hh)
    h, *cell = (s.contiguous() for s in state)
    drive.addmm_(h, weight_hh.t())
    out = torch.empty_like(h)
    besides = [None, None, None, 1.0, *[None, 0.0] * len(state)]
    problem = (1, batch, hidden, None, 1)
    if mode == "LSTM":
        new_cell = torch.empty_like(out)
        call("lstm_forward", *problem, drive, out, new_cell, h, *cell, None, 0, *besides)
        return out, new_cell, *last
    tail = _ACTIVATIONS[mode], None, None, *besides
    call("rnn_forward", *problem, drive, out, h, None, 0, *tail)
    return out, *last


def serves(
    mode: str,
    x: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    options: Options = NOTHING,
) -> bool:
    """Whether the compiled kernels run this layer.

    They run float32 and shorter types on a CPU, without a projection and normalization.
    """
    projected = mode == "LSTM" and weights[-1] is not None
    if projected or options.normalized:
        return False
    floats = [t for t in (x, *state, *weights) if t is not None]
    previous = [] if options.previous is None else [options.previous]  # in float32 beside halves
    return (
        x.dtype in (torch.float32, *HALF)
        and all(t.dtype == x.dtype for t in floats)
        and all(t.device.type == "cpu" for t in (*floats, *previous))
        and all(t.dtype != torch.float64 for t in previous)
        and available()
    )


def layer(
    mode: str,
    x: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None = None,
    moments: Moments | None = None,
    options: Options = NOTHING,
) -> State:
    """One recurrent layer, one direction, on the compiled kernels. See :func:`native`.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH``, ``RNN_RELU`` or ``RNN_MODRELU``.
        x: The input, ``(T, B, I)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_ih`` (None where ``x`` is the pre-activations), ``weight_hh``, ``bias_ih``
            and ``bias_hh``, each bias or None; for modReLU its bias behind them.
        lengths: How many steps of each sequence count, int64 ``(B,)``; the state stays as it is
            after them. None for all.
        moments: The Adam rule, which the pre-activations ``W x_t + b_ih`` go through.
        options: What happens besides, but for normalization.

    Returns:
        The outputs ``(T, B, H)``, the last state, and with ``moments`` the last velocity and root,
        these in float32 whatever the type of the rest.

    Raises:
        ValueError: A tensor has a shape that does not fit the others.
    """
    dtype, options = x.dtype, options.exact()
    if dtype in HALF:
        x, options = x.float(), options.to(torch.float32)
        state = tuple(s.float() for s in state)
        weights = [None if w is None else w.float() for w in weights]
    bias_modrelu = weights[4] if mode == "RNN_MODRELU" else None
    tensors = [x, *state, *weights[:4], bias_modrelu]
    tail: list[Any] = [None if lengths is None else lengths.long(), *options[:TENSORS]]
    op, beta, eps, learned = _LAYERS[mode], 0.0, 0.0, False
    if moments is not None:
        op, beta, eps = _MOMENT_LAYERS[mode], moments.beta, moments.eps
        pair = moments.mu, moments.gain
        learned = any(isinstance(s, Tensor) for s in pair)
        scalars = [s.to(x.dtype) if isinstance(s, Tensor) else x.new_full((), s) for s in pair]
        tail += [moments.velocity.to(x.dtype), moments.rms.to(x.dtype), *scalars]
    train = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (*tensors, *tail)
    )
    halves = dtype == torch.bfloat16
    constants = (mode, train, x.requires_grad, halves, beta, eps, learned, *options[TENSORS:])
    results: State = op(*tensors, *tail, *constants)
    count = 1 + len(state)
    last = results[count : count + 2] if moments is not None else ()
    return *(r.to(dtype) for r in results[:count]), *last
