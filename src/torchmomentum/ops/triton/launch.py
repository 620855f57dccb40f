"""The Triton kernels as operators: the recurrences over pre-activations on CUDA.

A leading dimension is an ensemble: all members' tensors have it, and all train in one launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum.ops._autograd import define_recurrence, each_member
from torchmomentum.ops._definition import define
from torchmomentum.ops._problem import Layout, Problem, empty_outputs
from torchmomentum.ops.cells import State, find
from torchmomentum.ops.triton.device import interpreted, on_device, runs_on

# the cells that have kernels, by their key, as these number them
CELLS = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU", "RNN_MODRELU")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_WEIGHTS_THAT_STAY = 128 * 1024  # bytes of them that a program keeps, of an SM's 228 KB
_LEAST = 16  # a product's tile has at least so many rows and columns


def refusal(problem: Problem) -> str:
    """Why the kernels do not run a recurrence over pre-activations; empty where they do."""
    x = problem.x
    if problem.cell.key not in CELLS:
        return "there are no kernels for the cell"
    if problem.projected or problem.modifiers.normalized:
        return "projection and normalization have no kernels"
    if x.dtype not in _DTYPES or x.numel() == 0:
        return "the tensors are of another type, or empty"
    for t in (*problem.state, problem.weight_hh):
        if t.device != x.device:
            return "the tensors are on several devices"
    return "" if runs_on(x.device) else "Triton does not run on the device here"


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


def plan(cell: str, batch: int, hidden: int, itemsize: int) -> Plan:
    """The cut for a shape: all units in one program where their weights fit, else as few as fit."""
    gates, whole = find(cell).gates, _at_least(hidden)
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

    def __init__(self, given: Problem) -> None:
        self.given, self.alone = given, given.x.dim() == 3
        self.pre = self.members(given.x)
        self.weight = self.members(given.weight_hh).to(self.pre.dtype)
        self.count, self.time, self.batch, _ = self.pre.shape
        self.hidden = self.weight.shape[-1]
        self.area = (self.count, self.time, self.batch, self.hidden)
        itemsize = self.pre.element_size()
        self.cut = _tried[-1] if _tried else plan(given.cell.key, self.batch, self.hidden, itemsize)
        modifiers = given.modifiers
        self.mu: Tensor | None = None
        if modifiers.steps is not None:
            one = modifiers._replace(steps=self.members(modifiers.steps).flatten())
            mu = one.momenta(self.time, torch.float32)
            if mu is not None:
                mu = mu.view(self.time, self.count, self.batch).transpose(0, 1)
                behind = mu.new_zeros(self.count, 2, self.batch)
                self.mu = torch.cat([mu, behind], 1).contiguous()
        self.grid = (
            -(-self.hidden // self.cut.block_n),
            -(-self.batch // self.cut.block_b),
            self.count,
        )
        programs = self.grid[0] * self.grid[1] * self.grid[2]
        self.meets = self.grid[0] > 1 and self._all_at_once(programs)
        # whether one launch goes through all of time
        self.together = self.cut.single or self.meets
        masks = modifiers.keep_mask, modifiers.zoneout_h, modifiers.zoneout_c
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
                MODE=CELLS.index(self.given.cell.key),
                GATES=self.given.cell.gates,
                SINGLE=self.cut.single,
                STATIONARY=self.cut.stationary,
                WAIT=self.meets,
                ZONES=self.given.modifiers.zones,
                BLOCK_B=self.cut.block_b,
                BLOCK_N=self.cut.block_n,
                BLOCK_K=self.cut.block_k,
                PRECISION=_precision(),
                **constants,
                **extra,
            )

    def tail(self, first: int, steps: int) -> list[Any]:
        """What the arguments of both kernels end with: the options, where to meet, the sizes."""
        m, (kept, zone_h, zone_c) = self.given.modifiers, self.masks
        mu, zone_h, zone_c = (_from(x, first) for x in (self.mu, zone_h, zone_c))
        counters = None
        if self.meets:  # of the programs of the same rows, at zero
            counters = self.pre.new_zeros(self.count, self.grid[1], dtype=torch.int32)
        modified = [mu, kept, m.keep_scale, zone_h, m.rate_h, zone_c, m.rate_c]
        return [*modified, counters, first, steps, self.time, self.batch]

    def first_operand(self) -> Tensor:
        """What the first product reads."""
        m = self.given.modifiers
        m = m._replace(keep_mask=self.maybe(m.keep_mask), previous=self.maybe(m.previous))
        mu = None if self.mu is None else self.mu[:, 0].unsqueeze(-1)
        h = self.members(self.given.state[0]).float()
        return m.operand(h, None if m.previous is None else m.previous.float(), mu)


def _forward(given: Problem) -> tuple[Tensor, ...]:
    """The outputs, the last state, and what the backward needs.

    That is the gates, a GRU's inner products, the cells and what the products read, where that is
    not the outputs.
    """
    from torchmomentum.ops.triton import recurrence

    launch = _Launch(given)
    pre, key, keep = launch.pre, given.cell.key, given.train
    count, time, batch, hidden = launch.area
    hs = pre.new_empty(count, time + 1, batch, hidden)
    hs[:, 0] = launch.members(given.state[0])
    cs = inner = gates = operands = None
    if key == "LSTM":
        cs = pre.new_empty(count, time + 1, batch, hidden, dtype=torch.float32)
        cs[:, 0] = launch.members(given.state[1])
    if keep:
        gates = torch.empty_like(pre)
        inner = pre.new_empty(launch.area) if key == "GRU" else None
    if given.modifiers.changes_operand:
        operands = pre.new_empty(launch.area)
        operands[:, 0] = launch.first_operand()
    modrelu = launch.maybe(given.extra.get("bias_modrelu"))
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
    given: Problem,
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    from torchmomentum.ops.triton import recurrence

    if not given.train:  # the forward could not see that a gradient would be asked for
        given = given._replace(train=True)
        results = _forward(given)
    launch = _Launch(given)
    key, modifiers = given.cell.key, given.modifiers
    count, time, batch, hidden = launch.area
    out = launch.members(results[0])
    gates, inner, cs, operands = (launch.members(x) if x.numel() else None for x in results[-4:])
    if gates is None:
        raise RuntimeError("the forward kept no gates")
    hs = torch.cat([launch.members(given.state[0]).to(out.dtype).unsqueeze(1), out], 1)
    local = torch.empty_like(gates)
    rec = torch.empty_like(gates) if key == "GRU" else local
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
            CHANGED=modifiers.changes_operand,
            LAST=launch.together or steps == 0,
        )
    read = hs[:, :-1] if operands is None else operands
    flat = rec.view(count, time * batch, -1).transpose(1, 2)
    grad_hh = flat @ read.reshape(count, time * batch, hidden)
    dh, dc, through, second = carried.unbind(1)
    seen = modifiers._replace(keep_mask=launch.maybe(modifiers.keep_mask)).seen
    grad_previous = None
    if modifiers.changes_operand:
        dh = dh + seen(through)
    if launch.mu is not None:
        first_mu, second_mu = launch.mu[:, :2].unsqueeze(-1).unbind(1)
        grad_previous = -seen(first_mu * through)
        dh = dh - grad_previous - seen(second_mu * second)
    found: list[Tensor | None] = [local, dh]
    if key == "LSTM":
        found.append(dc)
    found += [grad_hh, None if given.bias_hh is None else rec.float().sum((1, 2))]
    if key == "RNN_MODRELU":
        found.append((local * torch.sign(gates)).float().sum((1, 2)))
    found.append(grad_previous)
    wanted = [t for t in tensors if t is not None and t.is_floating_point()]
    pairs = zip((x for x in found if x is not None), wanted, strict=True)
    return [launch.without(grad).to(like.dtype) for grad, like in pairs]


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
        if given.modifiers.changes_operand:
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
        return _backward(layout.problem([*tensors, *constants]), tensors, results, grads)

    return define_recurrence(
        f"triton_{layout.name}",
        arguments=layout.arguments,
        constants=layout.constants,
        outputs=layout.outputs,
        saved=4,
        definition=lambda *args: _definition(layout, *args),
        members=_together,
        forward=lambda *args: _forward(layout.problem(args)),
        backward=backward,
        fake=lambda *args: _fake(layout.problem(args)),
    )


_OPERATORS = {layout: _define(layout) for layout in {Layout.of(find(name)): 0 for name in CELLS}}


def scan(problem: Problem) -> State:
    """A recurrence over pre-activations on the Triton kernels."""
    layout = Layout.of(problem.cell)
    results: State = _OPERATORS[layout](*problem.flat())
    return results[: layout.outputs]
