"""One layer in one direction: the rule along time, then the recurrence. All of a layer's ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, pad

from torchmomentum.nn._sequence import PaddedBatch, before_last, padded
from torchmomentum.nn.rules import Rule, RuleState, bounded
from torchmomentum.ops import (
    GATES,
    STEPS,
    Options,
    compiled_layer,
    compiled_serves,
    compiled_step,
    compiled_step_serves,
    native_packed,
    scan,
)
from torchmomentum.ops import layer as recurrent_layer

NOTHING = Options()

State: TypeAlias = "tuple[Tensor, ...]"  # each (B, H)


class Cell(NamedTuple):
    """A cell, until ops has one."""

    name: str
    states: tuple[str, ...] = ("h",)
    projects: bool = False

    @property
    def gates(self) -> int:
        """How many gates there are."""
        return GATES[self.name]


LSTM, GRU = Cell("LSTM", ("h", "c"), True), Cell("GRU")
RNN_TANH, RNN_RELU = Cell("RNN_TANH"), Cell("RNN_RELU")


def elman(nonlinearity: str) -> Cell:
    """The Elman network with this nonlinearity.

    Raises:
        ValueError: It is neither ``"tanh"`` nor ``"relu"``.
    """
    cells = {"tanh": RNN_TANH, "relu": RNN_RELU}
    if nonlinearity not in cells:
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
    return cells[nonlinearity]


class Weights(NamedTuple):
    """The weights of one layer and direction."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None


def momentum_width(weights: Weights, rule: Rule, norm_ih: Tensor | None) -> int:
    """How many channels a rule filters: the input's and one for the bias, or the gates'."""
    if rule.linear and norm_ih is None:
        return weights.ih.shape[1] + (weights.bias_ih is not None)
    return weights.ih.shape[0]


def _fresh(rule: Rule, x: Tensor, width: int, hidden_size: int) -> RuleState:
    wide = torch.promote_types(x.dtype, torch.float32)
    return rule.cell_state(x.shape[1], width, hidden_size, device=x.device, dtype=wide)


def run_layer(
    cell: Cell,
    x: Tensor,
    state: State,
    weights: Weights,
    rule: Rule | None,
    momentum: RuleState | None,
    options: Options,
    norm_ih: Tensor | None,
    batch: PaddedBatch,
) -> tuple[Tensor, State, RuleState]:
    """Runs one layer in one direction.

    Args:
        cell: The recurrence.
        x: Its input, ``(T, B, I)``.
        state: The cell's, each ``(B, H)``.
        weights: Of this layer and direction.
        rule: The momentum rule, if any.
        momentum: The rule's state to go on from; None where the caller keeps none.
        options: What the recurrence does beyond the plain cell.
        norm_ih: The gains by which the drive is normalized, ``(G H,)``, if it is.
        batch: Where the input came from: lengths and packing.

    Returns:
        The outputs, ``(T, B, H)``, the cell's last state and the rule's.
    """
    if rule is None:
        if norm_ih is None:
            out, *last = _recur(cell, x, state, weights, batch, options)
        else:
            drive = _drive(x, weights, norm_ih)
            out, *last = _recur_gates(cell, drive, state, weights, batch, options)
        return out, tuple(last), ()
    goes_on = momentum is not None
    if rule.reads_hidden:
        if momentum is None:
            width = momentum_width(weights, rule, norm_ih)
            momentum = _fresh(rule, x, width, state[0].shape[1])
        options = _merged(options, rule.modifiers(momentum))
    if rule.linear and norm_ih is None:
        x, weights, kept = _filtered(x, weights, rule, momentum, batch.lengths)
        out, *last = _recur(cell, x, state, weights, batch, options)
    else:
        fused = None
        if not rule.linear:
            fused = _fused(cell, x, state, weights, rule, momentum, batch.lengths, options)
        if fused is None:
            drive = _drive(x, weights, norm_ih)
            drive, kept = rule.scan(drive, momentum, batch.lengths)
            out, *last = _recur_gates(cell, drive, state, weights, batch, options)
        else:
            (out, *last), kept = fused
    if rule.reads_hidden and goes_on:
        kept = rule.follow(kept, before_last(out, state[0], batch.lengths))
    return out, tuple(last), kept


def _merged(options: Options, asked: Options) -> Options:
    """Options of a layer, and over them what a rule asks for."""
    if options.plain:
        return asked
    fields = zip(Options._fields, asked, NOTHING, strict=True)
    changes: dict[str, Any] = {name: x for name, x, default in fields if x is not default}
    return options._replace(**changes)


def _filtered(
    x: Tensor, weights: Weights, rule: Rule, momentum: RuleState | None, lengths: Tensor | None
) -> tuple[Tensor, Weights, RuleState]:
    """The input as a linear rule leaves it, and weights that read it.

    ``y_t = W v_t + b a_t``, where the rule makes ``v_t`` of ``x_t`` and ``a_t`` of ones.
    """
    if weights.bias_ih is None:
        x, kept = rule.scan(x, momentum, lengths)
        return x, weights, kept
    x, kept = rule.scan(pad(x, (0, 1), value=1.0), momentum, lengths)
    ih = torch.cat([weights.ih, weights.bias_ih.unsqueeze(1)], 1)  # (G H, I + 1)
    return x, weights._replace(ih=ih, bias_ih=torch.zeros_like(weights.bias_ih)), kept


def _drive(x: Tensor, weights: Weights, norm_ih: Tensor | None) -> Tensor:
    """What the input contributes to the gates before the rule, ``(T, B, G H)``."""
    if norm_ih is None:
        return linear(bounded(x), weights.ih, weights.bias_ih)
    drive = layer_norm(linear(bounded(x), weights.ih), norm_ih.shape, norm_ih)
    return drive if weights.bias_ih is None else drive + weights.bias_ih


def _fused(
    cell: Cell,
    x: Tensor,
    state: State,
    weights: Weights,
    rule: Rule,
    momentum: RuleState | None,
    lengths: Tensor | None,
    options: Options,
) -> tuple[State, RuleState] | None:
    """The rule and the recurrence in one kernel, where there is one."""
    width = len(weights.ih)
    x, state, used = _in_autocast(x, state, weights)
    if not compiled_serves(cell.name, x, state, used, options):
        return None
    if momentum is None:
        momentum = _fresh(rule, x, width, state[0].shape[1])
    moments = rule.moments(momentum)
    if moments is None:
        return None
    *results, velocity, rms = compiled_layer(
        cell.name, bounded(x), state, used, lengths, moments, options
    )
    return tuple(results), rule.from_moments(velocity, rms)


def _recur_gates(
    cell: Cell,
    drive: Tensor,
    state: State,
    weights: Weights,
    batch: PaddedBatch,
    options: Options,
) -> State:
    """The recurrence over what a rule or a normalization made of the drives."""
    used: list[Tensor | None] = [weights.hh, weights.bias_hh]
    if cell.name == "LSTM":
        used.append(weights.hr)
    state = tuple([s.to(drive.dtype) for s in state])
    used = [None if w is None else w.to(drive.dtype) for w in used]
    return scan(cell.name, drive, state, used, batch.lengths, options=options)


def _recur(
    cell: Cell,
    x: Tensor,
    state: State,
    weights: Weights,
    batch: PaddedBatch,
    options: Options,
) -> State:
    """The recurrence over an input."""
    x, state, used = _in_autocast(x, state, weights)
    packed, alive = batch.packed, batch.alive
    if (
        packed is not None
        and alive is not None
        and options.plain
        and not compiled_serves(cell.name, x, state, used)
    ):
        out, *last = native_packed(cell.name, x[alive], packed.batch_sizes, state, used)
        return padded(out, alive), *last
    return recurrent_layer(cell.name, x, state, used, batch.lengths, options)


def _in_autocast(
    x: Tensor, state: State, weights: Sequence[Tensor | None]
) -> tuple[Tensor, State, Sequence[Tensor | None]]:
    """All in the type that autocast asks for, if any; float64 stays."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type) or x.dtype == torch.float64:
        return x, state, weights
    dtype = torch.get_autocast_dtype(x.device.type)
    cast = [None if w is None else w.to(dtype) for w in weights]
    return x.to(dtype), tuple([s.to(dtype) for s in state]), cast


def run_step(
    cell: Cell,
    drive: Tensor,
    state: State,
    weights: tuple[Tensor, Tensor | None],
    rule: Rule,
    momentum: RuleState,
) -> tuple[State, RuleState]:
    """One step of a stream: of the rule on a drive ``(B, G H)``, then of the cell.

    Args:
        cell: The recurrence.
        drive: ``W x + b_ih``.
        state: The cell's, each ``(B, H)``.
        weights: ``weight_hh`` and ``bias_hh``.
        rule: The momentum rule.
        momentum: Its state.

    Returns:
        The new states of both.
    """
    floats = [t for t in momentum if t.is_floating_point()]
    if not rule.reads_hidden and compiled_step_serves(
        cell.name, (drive, *state, *floats, *weights)
    ):
        moments = rule.moments(momentum)
        if moments is not None:
            *new, velocity, rms = compiled_step(cell.name, drive, state, *weights, moments)
            return tuple(new), rule.from_moments(velocity, rms)
        pre, momentum = rule.step(drive, momentum)
        pre = pre.to(drive.dtype, copy=True)  # the kernel writes to it, and it may be the state's
        return compiled_step(cell.name, pre, state, *weights), momentum
    step, hidden = STEPS[cell.name], state[0]
    if not rule.reads_hidden:
        pre, momentum = rule.step(drive, momentum)
        return step(pre.to(drive.dtype), state, *weights, operand=hidden), momentum
    asked, wide = rule.modifiers(momentum), momentum[0].dtype
    mu = asked.momenta(1, wide)
    operand = asked.operand(hidden.to(wide), asked.previous, None if mu is None else mu[0])
    operand = operand.to(drive.dtype)
    pre, momentum = rule.step(drive, momentum)
    momentum = rule.follow(momentum, hidden)
    found = step(pre.to(drive.dtype), state, *weights, operand=operand, options=asked)
    return asked.zoned(0, found, state), momentum
