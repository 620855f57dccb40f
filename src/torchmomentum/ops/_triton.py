"""The Triton kernels as operators: the recurrences over pre-activations on CUDA.

A leading dimension is an ensemble: all members' tensors have it, and all train in one launch.
Triton itself is imported where a kernel is launched, and only there. Under its interpreter
(``TRITON_INTERPRET=1``) the same kernels run on a CPU, slowly: for tests.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum.ops._arguments import (
    SCHEMA_CONSTANTS,
    Arguments,
    definition,
    fake_outputs,
    schema,
    train_of,
)
from torchmomentum.ops._library import define_recurrence, each_member
from torchmomentum.ops._steps import GATES, State

_MODES = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU", "RNN_MODRELU")  # as the kernels number them
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_WEIGHTS_THAT_STAY = 128 * 1024  # bytes of them that a program keeps, of an SM's 228 KB
_LEAST = 16  # a product's tile has at least so many rows and columns


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


_installed._dynamo_marked_constant = True  # type: ignore[attr-defined]  # as in _kernels


def interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def runs_on(device: torch.device) -> bool:
    """Whether Triton is there and runs on a device."""
    return (device.type == "cuda" or (device.type == "cpu" and interpreted())) and _installed()


def serves(given: Arguments) -> bool:
    """Whether the kernels run this recurrence.

    That is float32, bfloat16 and float16 on CUDA, without a projection and normalization.
    """
    return (
        not (given.mode == "LSTM" and given.third is not None)
        and not given.options.normalized
        and given.pre.dtype in _DTYPES
        and all(t.device == given.pre.device for t in (*given.state, given.weight_hh))
        and given.pre.numel() > 0
        and runs_on(given.pre.device)
    )


def on_device(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Makes the device of a tensor the one that kernels are launched on."""
    return torch.cuda.device(x.device) if x.device.type == "cuda" else contextlib.nullcontext()


class Plan(NamedTuple):
    """How a recurrence is cut into programs, and what they keep."""

    block_b: int
    block_n: int
    block_k: int
    warps: int
    stationary: bool

    @property
    def single(self) -> bool:
        """Whether one tile holds all units, so that programs never meet."""
        return self.stationary and self.block_n == self.block_k


def _at_least(size: int) -> int:
    return max(_LEAST, 1 << (size - 1).bit_length())


def plan(mode: str, batch: int, hidden: int, itemsize: int) -> Plan:
    """The cut for a shape: all units in one program where their weights fit, else as few as fit."""
    gates, whole = GATES[mode], _at_least(hidden)
    for units in (whole, 64, 32, 16):
        if units <= whole and gates * whole * units * itemsize <= _WEIGHTS_THAT_STAY:
            return Plan(_LEAST, units, whole, 4 if units * gates <= 128 else 8, stationary=True)
    rows = min(64, _at_least(batch))
    return Plan(rows, 32, 64 if itemsize == 2 else 32, 8, stationary=False)


_tried: list[Plan] = []


@contextlib.contextmanager
def planned(cut: Plan) -> Iterator[None]:
    """Takes this cut instead of :func:`plan`'s, in all threads: a backward has one of its own."""
    _tried.append(cut)
    try:
        yield
    finally:
        _tried.pop()


def _precision() -> str:
    """As ``nn.LSTM`` multiplies float32 on the same device."""
    if interpreted():
        return "wide"
    try:
        return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    except RuntimeError:  # it was set for recurrences and convolutions apart
        recurrent: Any = torch.backends.cudnn
        return "ieee" if recurrent.rnn.fp32_precision == "ieee" else "tf32"


def _apart(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype, copy=True).contiguous()


def _from(x: Tensor | None, first: int) -> Tensor | None:
    """A sequence from a step on, the members being first."""
    return None if x is None else x[:, first:]


def _bytes(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)


class _Launch:
    """What both directions of a recurrence need, with the members first."""

    def __init__(self, given: Arguments) -> None:
        self.given, self.alone = given, given.pre.dim() == 3
        self.pre = self.members(given.pre)
        self.weight = self.members(given.weight_hh).to(self.pre.dtype)
        self.count, self.time, self.batch, _ = self.pre.shape
        self.hidden = self.weight.shape[-1]
        self.area = (self.count, self.time, self.batch, self.hidden)
        itemsize = self.pre.element_size()
        self.cut = _tried[-1] if _tried else plan(given.mode, self.batch, self.hidden, itemsize)
        options = given.options
        self.mu: Tensor | None = None
        if options.steps is not None:
            one = options._replace(steps=self.members(options.steps).flatten())
            mu = one.momenta(self.time, torch.float32)
            assert mu is not None
            mu = mu.view(self.time, self.count, self.batch).transpose(0, 1)
            self.mu = torch.cat([mu, mu.new_zeros(self.count, 2, self.batch)], 1).contiguous()
        self.grid = (
            -(-self.hidden // self.cut.block_n),
            -(-self.batch // self.cut.block_b),
            self.count,
        )
        programs = self.grid[0] * self.grid[1] * self.grid[2]
        self.meets = self.grid[0] > 1 and self._all_at_once(programs)
        # whether one launch goes through all of time
        self.together = self.cut.single or self.meets
        masks = options.dropout, options.zoneout_h, options.zoneout_c
        self.masks = [_bytes(self.maybe(mask)) for mask in masks]

    def _all_at_once(self, programs: int) -> bool:
        if self.pre.device.type != "cuda":
            return False
        limit: int = torch.cuda.get_device_properties(self.pre.device).multi_processor_count
        return programs <= limit

    def members(self, x: Tensor) -> Tensor:
        """With the members first, contiguous."""
        return (x.unsqueeze(0) if self.alone else x).contiguous()

    def maybe(self, x: Tensor | None) -> Tensor | None:
        """The same of what may be absent."""
        return None if x is None else self.members(x)

    def without(self, x: Tensor) -> Tensor:
        """As the caller has it: without members where there are none."""
        return x.squeeze(0) if self.alone else x

    def pieces(self) -> list[tuple[int, int]]:
        """The first step and the count of each launch: all of them, or one where none may wait."""
        if self.together:
            return [(0, self.time)]
        return [(t, 1) for t in range(self.time)]

    def run(self, kernel: Any, *args: Any, **constants: Any) -> None:
        """Launches a kernel over the grid."""
        extra: dict[str, Any] = {"num_warps": self.cut.warps}
        if self.meets:
            extra["launch_cooperative_grid"] = True
        with on_device(self.pre):
            kernel[self.grid](
                *args,
                hidden=self.hidden,
                MODE=_MODES.index(self.given.mode),
                GATES=GATES[self.given.mode],
                SINGLE=self.cut.single,
                STATIONARY=self.cut.stationary,
                WAIT=self.meets,
                ZONES=self.given.options.zones,
                BLOCK_B=self.cut.block_b,
                BLOCK_N=self.cut.block_n,
                BLOCK_K=self.cut.block_k,
                PRECISION=_precision(),
                **constants,
                **extra,
            )

    def tail(self, first: int, steps: int) -> list[Any]:
        """What the arguments of both kernels end with: the options, where to meet, the sizes."""
        o, (dropout, zone_h, zone_c) = self.given.options, self.masks
        mu, zone_h, zone_c = (_from(x, first) for x in (self.mu, zone_h, zone_c))
        counters = None
        if self.meets:  # of the programs of the same rows, at zero
            counters = self.pre.new_zeros(self.count, self.grid[1], dtype=torch.int32)
        options = [mu, dropout, o.scale, zone_h, o.rate_h, zone_c, o.rate_c]
        return [*options, counters, first, steps, self.time, self.batch]

    def first_operand(self) -> Tensor:
        """What the first product reads."""
        o = self.given.options
        o = o._replace(dropout=self.maybe(o.dropout), previous=self.maybe(o.previous))
        mu = None if self.mu is None else self.mu[:, 0].unsqueeze(-1)
        h = self.members(self.given.state[0]).float()
        return o.operand(h, None if o.previous is None else o.previous.float(), mu)


def _forward(*args: Any) -> tuple[Tensor, ...]:
    """The outputs, the last state, and what the backward needs.

    That is the gates, a GRU's inner products, the cells and what the products read, where that is
    not the outputs.
    """
    from torchmomentum.ops.triton import recurrence

    given = Arguments.named(args)
    launch = _Launch(given)
    pre, mode, keep = launch.pre, given.mode, given.train
    count, time, batch, hidden = launch.area
    hs = pre.new_empty(count, time + 1, batch, hidden)
    hs[:, 0] = launch.members(given.state[0])
    cs = inner = gates = operands = None
    if mode == "LSTM":
        cs = pre.new_empty(count, time + 1, batch, hidden, dtype=torch.float32)
        cs[:, 0] = launch.members(given.state[1])
    if keep:
        gates = torch.empty_like(pre)
        inner = pre.new_empty(launch.area) if mode == "GRU" else None
    if given.options.changes_operand:
        operands = pre.new_empty(launch.area)
        operands[:, 0] = launch.first_operand()
    modrelu = launch.maybe(given.third) if mode == "RNN_MODRELU" else None
    fixed = (launch.weight, launch.maybe(given.bias_hh), modrelu, launch.maybe(given.lengths))
    for first, steps in launch.pieces():
        along = (_from(x, first) for x in (pre, hs, cs, gates, inner))
        read = _from(operands, first)
        launch.run(recurrence.forward, *along, *fixed, read, *launch.tail(first, steps))
    # nothing that is returned may be a part of something else: not of what is kept, nor of memory
    # that begins earlier, which compiled graphs would take for aligned
    out = launch.without(hs[:, 1:]).clone(memory_format=torch.contiguous_format)
    last = [_apart(launch.without(hs[:, -1]), given.state[0].dtype)]
    if cs is not None:
        last.append(_apart(launch.without(cs[:, -1]), given.state[1].dtype))
    nothing = pre.new_empty(0)
    kept = (gates, inner, cs if keep else None, operands if keep else None)
    return out, *last, *(nothing if x is None else launch.without(x) for x in kept)


def _backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[Any],
) -> list[Tensor]:
    from torchmomentum.ops.triton import recurrence

    given = Arguments.named([*tensors, *constants])
    if not given.train:  # the forward could not see that a gradient would be asked for
        given = given._replace(train=True)
        results = _forward(*given.flat())
    launch = _Launch(given)
    mode, options = given.mode, given.options
    count, time, batch, hidden = launch.area
    out = launch.members(results[0])
    gates, inner, cs, operands = (launch.members(x) if x.numel() else None for x in results[-4:])
    assert gates is not None
    hs = torch.cat([launch.members(given.state[0]).to(out.dtype).unsqueeze(1), out], 1)
    local = torch.empty_like(gates)
    rec = torch.empty_like(gates) if mode == "GRU" else local
    carried = out.new_zeros(count, 4, batch, hidden, dtype=torch.float32)
    for place, grad in enumerate(grads[1:]):
        if grad is not None:
            carried[:, place] = launch.members(grad)
    grad_out = launch.maybe(grads[0])
    lengths = launch.maybe(given.lengths)
    # programs that do not meet cannot read each other's step within one launch
    pieces = [] if launch.together else [(0, 0)]
    for first, steps in reversed(pieces + launch.pieces()):
        head = (_from(x, first) for x in (gates, hs, cs, inner))
        pulled = (_from(x, first) for x in (grad_out, local, rec))
        launch.run(
            recurrence.backward,
            *(*head, launch.weight, lengths, *pulled, carried, *launch.tail(first, steps)),
            CHANGED=options.changes_operand,
            LAST=launch.together or steps == 0,
        )
    read = hs[:, :-1] if operands is None else operands
    flat = rec.view(count, time * batch, -1).transpose(1, 2)
    grad_hh = flat @ read.reshape(count, time * batch, hidden)
    dh, dc, through, second = carried.unbind(1)
    seen = options._replace(dropout=launch.maybe(options.dropout)).seen
    grad_previous = None
    if options.changes_operand:
        dh = dh + seen(through)
    if launch.mu is not None:
        first_mu, second_mu = launch.mu[:, :2].unsqueeze(-1).unbind(1)
        grad_previous = -seen(first_mu * through)
        dh = dh - grad_previous - seen(second_mu * second)
    found: list[Tensor | None] = [local, dh]
    if mode == "LSTM":
        found.append(dc)
    found += [grad_hh, None if given.bias_hh is None else rec.float().sum((1, 2))]
    if mode == "RNN_MODRELU":
        found.append((local * torch.sign(gates)).float().sum((1, 2)))
    found.append(grad_previous)
    wanted = [t for t in tensors if t is not None and t.is_floating_point()]
    pairs = zip((x for x in found if x is not None), wanted, strict=True)
    return [launch.without(grad).to(like.dtype) for grad, like in pairs]


def _fake(*args: Any) -> tuple[Tensor, ...]:
    given = Arguments.named(args)
    outputs, pre = fake_outputs(given), given.pre
    hidden = given.weight_hh.shape[-1]
    nothing, shape = pre.new_empty(0), list(pre.shape[:-1])
    gates = inner = cells = operands = nothing
    if given.train:
        gates = torch.empty_like(pre, memory_format=torch.contiguous_format)
        inner = pre.new_empty(*shape, hidden) if given.mode == "GRU" else nothing
        if given.mode == "LSTM":
            longer = [*shape[:-2], shape[-2] + 1, shape[-1]]
            cells = pre.new_empty(*longer, hidden, dtype=torch.float32)
        if given.options.changes_operand:
            operands = pre.new_empty(*shape, hidden)
    return *outputs, gates, inner, cells, operands


def _definition(*args: Any) -> State:
    """The definition, of each member where there are several."""
    if args[0].dim() == 3:
        return definition(*args)
    members = (
        definition(*(x[i] if isinstance(x, Tensor) else x for x in args))
        for i in range(len(args[0]))
    )
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


def _define(name: str, states: int) -> Any:
    return define_recurrence(
        name,
        arguments=schema(states),
        constants=SCHEMA_CONSTANTS,
        outputs=1 + states,
        saved=4,
        definition=_definition,
        members=_together,
        forward=_forward,
        backward=_backward,
        fake=_fake,
    )


_OPERATORS = {1: _define("triton_scan", 1), 2: _define("triton_lstm_scan", 2)}


def scan(given: Arguments) -> State:
    """A recurrence over pre-activations on the Triton kernels."""
    given = given._replace(train=train_of(given.flat()))
    results: State = _OPERATORS[len(given.state)](*given.flat())
    return results[: 1 + len(given.state)]
