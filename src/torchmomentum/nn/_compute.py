"""One layer in one direction, or one step of a stream: the rule, then the recurrence.

Everything that a layer or a cell asks of the kernels stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, pad

from torchmomentum._tuples import changed
from torchmomentum.nn._sequence import PaddedBatch, before_last
from torchmomentum.nn.rules import Rule, RuleState, bounded, with_parts
from torchmomentum.ops import (
    PLAIN,
    Cell,
    Modifiers,
    Moments,
    Problem,
    Velocity,
    affine,
    compiled_step,
    compiled_step_serves,
    filter_beside_one,
    joined,
    run,
    scan,
    serves_beside_one,
)
from torchmomentum.ops.cells import Weights

State: TypeAlias = "tuple[Tensor, ...]"  # each (B, H)


class LayerWeights(NamedTuple):
    """The weights of one layer and direction.

    Attributes:
        ih: ``(G H, I)``.
        hh: ``(G H, H)``; empty for a cell that has none.
        bias_ih: ``(G H,)``, or None.
        bias_hh: ``(G H,)``, or None.
        extra: The cell's further weights by name.
        norm_ih: With layer normalization, the gains of the drive, ``(G H,)``.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    extra: Mapping[str, Tensor]
    norm_ih: Tensor | None = None


def filters_input(rule: Rule, weights: LayerWeights) -> bool:
    """Whether a rule runs on the input: one that commutes with all that precedes the gates."""
    return rule.linear and weights.norm_ih is None


def through_recurrent(values: Tensor, weight_hh: Tensor) -> Tensor:
    """Each gate's values through its recurrent weights: ``U_g v_g``, ``(..., G H)`` as they came.

    Args:
        values: ``(..., G H)``.
        weight_hh: ``(G H, H)``.
    """
    size = weight_hh.shape[1]
    gates = values.reshape(-1, weight_hh.shape[0] // size, size).transpose(0, 1)  # (G, N, H)
    found = torch.bmm(gates, weight_hh.view(-1, size, size).mT)
    return found.transpose(0, 1).reshape(values.shape)


def _in_hidden_space(weights: LayerWeights) -> LayerWeights:
    """Weights of the drives that are ``U`` times the given: Remark 1 of the paper."""
    bias = weights.bias_ih
    if bias is not None:
        bias = through_recurrent(bias, weights.hh)
    return changed(weights, ih=through_recurrent(weights.ih.mT, weights.hh).mT, bias_ih=bias)


def momentum_width(rule: Rule, weights: LayerWeights) -> int:
    """How many channels a rule filters: the input's and one for the bias, or the gates'."""
    if filters_input(rule, weights):
        return weights.ih.shape[1] + int(weights.bias_ih is not None)
    return weights.ih.shape[0]


def run_layer(
    cell: Cell,
    x: Tensor,
    state: State,
    weights: LayerWeights,
    rule: Rule | None,
    momentum: RuleState | None,
    modifiers: Modifiers,
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
        modifiers: What the layer changes in the plain recurrence.
        batch: Where the input came from: lengths and packing.

    Returns:
        The outputs, ``(T, B, H)``, the cell's last state and the rule's.
    """
    if rule is None:
        found = _recur(cell, x, state, weights, modifiers, batch)
        return found[0], found[1:], ()
    goes_on = momentum is not None
    if rule.reads_hidden:
        if momentum is None:
            momentum = _fresh_state(rule, x, state, weights)
        modifiers = _merged(modifiers, rule.modifiers(momentum))
    if filters_input(rule, weights):
        if rule.space == "hidden":  # a linear rule commutes with the recurrent weights
            weights = _in_hidden_space(weights)
        beside = _beside_one(x, weights, rule, momentum, batch.lengths)
        if beside is not None and cell.scan is None:
            begun, velocity = beside
            found = _recur(cell, x, state, weights, modifiers, batch, velocity=velocity)
            found, kept = found[:-1], with_parts(begun, found[-1:])
        else:
            x, weights, kept = _filtered(x, weights, rule, momentum, batch.lengths, beside)
            found = _recur(cell, x, state, weights, modifiers, batch)
    else:
        moments = None
        if weights.norm_ih is None and rule.space == "gates" and cell.scan is None:
            if momentum is None:
                momentum = _fresh_state(rule, x, state, weights)
            moments = rule.moments(momentum)
        if moments is not None:
            found = _recur(cell, bounded(x), state, weights, modifiers, batch, moments)
            found, kept = found[:-2], rule.from_moments(*found[-2:])
        else:
            drive, kept = rule.scan(_drive(x, weights), momentum, batch.lengths)
            if rule.space == "hidden":
                drive = through_recurrent(drive, weights.hh).to(drive.dtype)
            found = _recur_drive(cell, drive, state, weights, modifiers, batch)
    if rule.reads_hidden and goes_on:
        kept = rule.follow(kept, before_last(found[0], state[0], batch.lengths))
    return found[0], found[1:], kept


def _fresh_state(rule: Rule, x: Tensor, state: State, weights: LayerWeights) -> RuleState:
    wide = torch.promote_types(x.dtype, torch.float32)
    sizes = x.shape[1], momentum_width(rule, weights), state[0].shape[1]
    return rule.cell_state(*sizes, device=x.device, dtype=wide)


def _merged(modifiers: Modifiers, asked: Modifiers) -> Modifiers:
    """Those of a layer, and over them what a rule asks for."""
    if modifiers.is_plain():
        return asked
    values: list[Any] = []
    for own, its, default in zip(modifiers, asked, PLAIN, strict=True):
        unset = its is None or (not isinstance(its, Tensor) and its == default)
        values.append(own if unset else its)
    return Modifiers(*values)


_Beside: TypeAlias = "tuple[RuleState, Velocity] | None"


def _filtered(
    x: Tensor,
    weights: LayerWeights,
    rule: Rule,
    momentum: RuleState | None,
    lengths: Tensor | None,
    beside: _Beside,
) -> tuple[Tensor, LayerWeights, RuleState]:
    """The input as a linear rule leaves it, weights that read it, and the rule's state.

    ``y_t = W v_t + b a_t``, where the rule makes ``v_t`` of ``x_t`` and ``a_t`` of ones.
    """
    if weights.bias_ih is None:
        x, kept = rule.scan(x, momentum, lengths)
        return x, weights, kept
    if beside is None:
        x, kept = rule.scan(pad(x, (0, 1), value=1.0), momentum, lengths)  # (T, B, I + 1)
    else:
        x, last = filter_beside_one(x, beside[1])
        kept = with_parts(beside[0], [last])
    ih, bias = joined(weights.ih, weights.bias_ih), torch.zeros_like(weights.bias_ih)
    return x, changed(weights, ih=ih, bias_ih=bias), kept


def _beside_one(
    x: Tensor, weights: LayerWeights, rule: Rule, momentum: RuleState | None, lengths: Tensor | None
) -> _Beside:
    """A linear rule's state and velocity, where a kernel runs it on the input and ones."""
    # a number that a rule makes of its parameters may hide them from the gradient
    learns = torch.is_grad_enabled() and bool(rule._parameters or rule._modules)
    if weights.bias_ih is None or lengths is not None or learns or not x.numel():
        return None
    if not serves_beside_one(x):
        return None
    start = momentum
    if start is None:
        start = rule.initial_state(x.shape[1], x.shape[2] + 1, device=x.device, dtype=x.dtype)
    velocity = rule.velocity(start)
    if velocity is None or not serves_beside_one(*velocity):
        return None
    return start, velocity


def _drive(x: Tensor, weights: LayerWeights) -> Tensor:
    """What the input contributes to the gates before the rule, ``(T, B, G H)``."""
    norm, bias = weights.norm_ih, weights.bias_ih
    if norm is None:
        return affine(bounded(x), weights.ih, bias)
    return layer_norm(affine(bounded(x), weights.ih), norm.shape, norm, bias)


def _recur(
    cell: Cell,
    x: Tensor,
    state: State,
    weights: LayerWeights,
    modifiers: Modifiers,
    batch: PaddedBatch,
    moments: Moments | None = None,
    velocity: Velocity | None = None,
) -> State:
    """The recurrence over an input: outputs, last state and a rule's last moments or velocity."""
    if weights.norm_ih is not None or cell.scan is not None:
        return _recur_drive(cell, _drive(x, weights), state, weights, modifiers, batch)
    sizes = None if batch.packed is None else batch.packed.batch_sizes
    ih, hh, bias_ih, bias_hh, extra, _ = weights
    return run(
        Problem(
            *(cell, x, state, hh, ih, bias_ih, bias_hh, extra),
            *(batch.lengths, modifiers, moments, velocity, sizes),
        )
    )


def _recur_drive(
    cell: Cell,
    drive: Tensor,
    state: State,
    weights: LayerWeights,
    modifiers: Modifiers,
    batch: PaddedBatch,
) -> State:
    """The recurrence over what a rule or a normalization made of the drives."""
    if cell.scan is not None:
        own = Weights(weights.hh, weights.bias_hh, weights.extra)
        return cell.scan(drive, state, own, batch.lengths)
    extra = [weights.extra.get(each.name) for each in cell.extra]
    recurrent = weights.hh, weights.bias_hh, *extra
    return scan(cell, drive, state, recurrent, batch.lengths, modifiers)


def _rule_step(
    rule: Rule, drive: Tensor, momentum: RuleState, weight_hh: Tensor
) -> tuple[Tensor, RuleState]:
    """What a rule makes of a drive ``(B, G H)``, in gate space."""
    pre, momentum = rule.step(drive, momentum)
    if rule.space == "hidden":
        pre = through_recurrent(pre.to(drive.dtype), weight_hh).to(drive.dtype)
    return pre, momentum


def run_step(
    cell: Cell, x: Tensor, state: State, weights: LayerWeights, rule: Rule, momentum: RuleState
) -> tuple[State, RuleState]:
    """One step of a stream: of the rule on the drive of an input, then of the cell.

    Args:
        cell: The recurrence.
        x: The input, ``(B, I)``.
        state: The cell's, each ``(B, H)``.
        weights: All but those of a normalization.
        rule: The momentum rule.
        momentum: Its state.

    Returns:
        The new states of both.
    """
    ih, hh, bias_ih, bias_hh, extra, _ = weights
    floats = [*state, *[t for t in momentum if t.is_floating_point()]]
    tensors = (x, *floats, ih, hh, bias_ih, bias_hh)
    if not rule.reads_hidden and compiled_step_serves(cell, tensors):
        given, count = (cell, x, state, ih, hh, bias_ih, bias_hh), len(state)
        if rule.space == "gates":
            velocity = rule.velocity(momentum)
            if velocity is not None:
                found = compiled_step(*given, velocity)
                return found[:count], with_parts(momentum, found[count:])
            moments = rule.moments(momentum)
            if moments is not None:
                found = compiled_step(*given, moments)
                return found[:count], rule.from_moments(*found[count:])
        pre, momentum = _rule_step(rule, linear(x, ih, bias_ih), momentum, hh)
        return compiled_step(cell, pre.to(x.dtype), state, None, hh, None, bias_hh), momentum
    drive, hidden, recurrent = linear(x, ih, bias_ih), state[0], Weights(hh, bias_hh, extra)
    if not rule.reads_hidden:
        pre, momentum = _rule_step(rule, drive, momentum, hh)
        return cell.step(pre.to(drive.dtype), state, recurrent, hidden, PLAIN), momentum
    asked, wide = rule.modifiers(momentum), torch.promote_types(hidden.dtype, torch.float32)
    mu = asked.momenta(1, wide)
    operand = asked.operand(hidden.to(wide), asked.previous, None if mu is None else mu[0])
    operand = operand.to(drive.dtype)
    pre, momentum = rule.step(drive, momentum)
    momentum = rule.follow(momentum, hidden)
    found = cell.step(pre.to(drive.dtype), state, recurrent, operand, asked)
    return asked.zoned(found, state), momentum
