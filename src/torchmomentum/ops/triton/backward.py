"""The recurrences over pre-activations as one Triton kernel, backward in time: see ``forward``."""

import triton
import triton.language as tl

from torchmomentum.ops.triton.common import (
    GRU,
    LSTM,
    TANH,
    dot,
    meet,
    seen,
    stays,
    tanh,
    weights,
)


@triton.jit
def _gate(rec, gate, rows, ks, batch, hidden, GATES: tl.constexpr):
    inside = (rows < batch)[:, None] & (ks < hidden)[None, :]
    source = rec + rows[:, None] * (GATES * hidden) + gate * hidden + ks[None, :]
    return tl.load(source, inside, 0.0, cache_modifier=".cg")


@triton.jit
def _product(rec, weight, w0, w1, w2, w3, rows, units, ks, batch, hidden, acc,
             GATES: tl.constexpr, STATIONARY: tl.constexpr, BLOCK_K: tl.constexpr,
             PRECISION: tl.constexpr):  # fmt: skip
    """The gradient of what a step's product read, from all gates of all units."""
    if STATIONARY:
        x = _gate(rec, 0, rows, ks, batch, hidden, GATES)
        acc = dot(x, w0, acc, PRECISION)
        if GATES > 1:
            x = _gate(rec, 1, rows, ks, batch, hidden, GATES)
            acc = dot(x, w1, acc, PRECISION)
            x = _gate(rec, 2, rows, ks, batch, hidden, GATES)
            acc = dot(x, w2, acc, PRECISION)
        if GATES > 3:
            x = _gate(rec, 3, rows, ks, batch, hidden, GATES)
            acc = dot(x, w3, acc, PRECISION)
    else:
        for gate in tl.static_range(GATES):
            for k in range(0, hidden, BLOCK_K):
                x = _gate(rec, gate, rows, k + ks, batch, hidden, GATES)
                w = weights(weight, gate, units, k + ks, hidden, False)
                acc = dot(x, w, acc, PRECISION)
    return acc


@triton.jit
def backward(
    gates,
    hs,
    cs,
    inner,
    weight,
    lengths,
    grad_out,  # (T, B, H) or None
    local,  # (T, B, G H): gradients of the pre-activations
    rec,  # the same of what the weights made: another array for a GRU
    carried,  # (4, B, H), float32: dh, dc, and of the operands of the next step and of the second
    mu,
    kept,
    scale,
    zone_h,
    rate_h,
    zone_c,
    rate_c,
    counters,
    begin,  # the arrays along time are handed over from this step on
    steps,
    time,
    batch,
    hidden: tl.constexpr,
    MODE: tl.constexpr,
    GATES: tl.constexpr,
    SINGLE: tl.constexpr,  # whether one tile holds all units
    STATIONARY: tl.constexpr,  # whether the weights stay: BLOCK_K holds all units
    WAIT: tl.constexpr,  # whether the programs are all there to meet
    ZONES: tl.constexpr,
    CHANGED: tl.constexpr,
    LAST: tl.constexpr,  # whether the product of the first step handed over is made too
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    tile, group = tl.program_id(0), tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    rows = group * BLOCK_B + tl.arange(0, BLOCK_B)
    units = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    ks = tl.arange(0, BLOCK_K)
    here = (rows < batch)[:, None] & (units < hidden)[None, :]
    place = rows[:, None] * hidden + units[None, :]
    wide = rows[:, None] * (GATES * hidden) + units[None, :]
    area = batch * hidden
    end = member * time + steps
    gates += end * area * GATES
    local += end * area * GATES
    rec += end * area * GATES
    hs += (member * (time + 1) + steps) * area
    weight += member * GATES * hidden * hidden
    carried += member * 4 * area
    if MODE == LSTM:
        cs += (member * (time + 1) + steps) * area
    if inner is not None:
        inner += end * area
    if grad_out is not None:
        grad_out += end * area
    if mu is not None:
        mu += (member * (time + 2) + steps) * batch
    if kept is not None:
        kept += member * area
    if zone_h is not None:
        zone_h += end * area
    if zone_c is not None:
        zone_c += end * area
    if lengths is not None:
        length = tl.load(lengths + member * batch + rows, rows < batch, 0)
    if WAIT:
        counters += member * tl.num_programs(1) + group
    dtype = gates.dtype.element_ty
    dh = tl.load(carried + place, here, 0.0)
    dc = tl.load(carried + area + place, here, 0.0)
    later = tl.load(carried + 2 * area + place, here, 0.0)
    latest = tl.load(carried + 3 * area + place, here, 0.0)
    zero = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    w0, w1, w2, w3 = zero, zero, zero, zero
    if STATIONARY:
        w0 = weights(weight, 0, units, ks, hidden, False)
        if GATES > 1:
            w1 = weights(weight, 1, units, ks, hidden, False)
            w2 = weights(weight, 2, units, ks, hidden, False)
        if GATES > 3:
            w3 = weights(weight, 3, units, ks, hidden, False)
    for j in range(steps):
        t = begin + steps - 1 - j
        if not SINGLE:
            if t + 1 < time:
                if WAIT:
                    if j > 0:
                        meet(counters, j * tl.num_programs(0))
                latest = later
                later = _product(rec, weight, w0, w1, w2, w3, rows, units, ks, batch, hidden,
                                 zero, GATES, STATIONARY, BLOCK_K, PRECISION)  # fmt: skip
                if not CHANGED:
                    dh += later
        gates -= GATES * area
        local -= GATES * area
        rec -= GATES * area
        hs -= area
        h = dh
        if grad_out is not None:
            grad_out -= area
            h += tl.load(grad_out + place, here, 0.0).to(tl.float32)
        if CHANGED:
            through = later
            if mu is not None:
                next_mu = tl.load(mu + rows, rows < batch, 0.0)[:, None]
                second_mu = tl.load(mu + batch + rows, rows < batch, 0.0)[:, None]
                through = (1.0 + next_mu) * later - second_mu * latest
            h += seen(through, kept, scale, place, here)
        if mu is not None:
            mu -= batch
        if zone_h is not None:
            zone_h -= area
        if zone_c is not None:
            zone_c -= area
        total, total_c, past = h, dc, zero
        if ZONES:
            past = stays(zone_h, rate_h, place, here) * h
            h -= past
        a0 = tl.load(gates + wide, here, 0.0).to(tl.float32)
        if GATES > 1:
            a1 = tl.load(gates + wide + hidden, here, 0.0).to(tl.float32)
            a2 = tl.load(gates + wide + 2 * hidden, here, 0.0).to(tl.float32)
        if GATES > 3:
            a3 = tl.load(gates + wide + 3 * hidden, here, 0.0).to(tl.float32)
        if MODE == LSTM:
            cs -= area
            before = tl.load(cs + place, here, 0.0)
            squashed = tanh(a1 * before + a0 * a2)
            past_c = zero
            if ZONES:
                past_c = stays(zone_c, rate_c, place, here) * dc
                dc -= past_c
            dc += h * a3 * (1.0 - squashed * squashed)
            g0 = dc * a2 * a0 * (1.0 - a0)
            g1 = dc * before * a1 * (1.0 - a1)
            g2 = dc * a0 * (1.0 - a2 * a2)
            g3 = h * squashed * a3 * (1.0 - a3)
            dc = past_c + dc * a1
            dh = past
        elif MODE == GRU:
            inner -= area
            before = tl.load(hs + place, here, 0.0).to(tl.float32)
            g2 = h * (1.0 - a1) * (1.0 - a2 * a2)
            g1 = h * (before - a2) * a1 * (1.0 - a1)
            g0 = g2 * tl.load(inner + place, here, 0.0).to(tl.float32) * a0 * (1.0 - a0)
            dh = past + h * a1
        else:
            g0 = h * (1.0 - a0 * a0)
            if MODE != TANH:
                g0 = tl.where(a0 == 0.0, 0.0, h)
            dh = past
        if lengths is not None:
            alive = (t < length)[:, None]
            dh = tl.where(alive, dh, total)
            dc = tl.where(alive, dc, total_c)
            g0 = tl.where(alive, g0, 0.0)
            if GATES > 1:
                g1 = tl.where(alive, g1, 0.0)
                g2 = tl.where(alive, g2, 0.0)
            if GATES > 3:
                g3 = tl.where(alive, g3, 0.0)
        tl.store(local + wide, g0.to(dtype), here)
        if GATES > 1:
            tl.store(local + wide + hidden, g1.to(dtype), here)
            tl.store(local + wide + 2 * hidden, g2.to(dtype), here)
        if GATES > 3:
            tl.store(local + wide + 3 * hidden, g3.to(dtype), here)
        if MODE == GRU:
            g2 *= a0
            tl.store(rec + wide, g0.to(dtype), here)
            tl.store(rec + wide + hidden, g1.to(dtype), here)
            tl.store(rec + wide + 2 * hidden, g2.to(dtype), here)
        if SINGLE:
            latest = later
            later = dot(g0.to(dtype), w0, zero, PRECISION)
            if GATES > 1:
                later = dot(g1.to(dtype), w1, later, PRECISION)
                later = dot(g2.to(dtype), w2, later, PRECISION)
            if GATES > 3:
                later = dot(g3.to(dtype), w3, later, PRECISION)
            if not CHANGED:
                dh += later
    if LAST and not SINGLE:
        if WAIT:
            meet(counters, steps * tl.num_programs(0))
        latest = later
        later = _product(rec, weight, w0, w1, w2, w3, rows, units, ks, batch, hidden,
                         zero, GATES, STATIONARY, BLOCK_K, PRECISION)  # fmt: skip
        if not CHANGED:
            dh += later
    tl.store(carried + place, dh, here)
    tl.store(carried + area + place, dc, here)
    tl.store(carried + 2 * area + place, later, here)
    tl.store(carried + 3 * area + place, latest, here)
