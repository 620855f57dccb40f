"""The recurrences over pre-activations as one Triton kernel, forward in time.

A program has a tile of the batch's rows and a tile of the hidden units, all gates of both, through
all of time. States are float32 and stay in registers; products take the type of the input. Where
the weights of its units fit, a program keeps them too. Where one tile holds all units, programs
never meet. Otherwise the programs of the same rows meet once a step at a counter, which needs all
of them on the device at once, or are launched anew for each step.

All arrays are contiguous with an ensemble's members first: ``(E, T, B, width)``, states
``(E, B, H)``, weights ``(E, G H, H)``.

The kernel is one function of two hundred lines: what lives in registers through all of time cannot
be handed to a helper as a bundle, and each gate has a variable of its own.
"""

import triton
import triton.language as tl

from torchmomentum.ops.triton.common import (
    GRU,
    LSTM,
    RELU,
    TANH,
    dot,
    meet,
    seen,
    tanh,
    weights,
    zoned,
)


@triton.jit
def forward(
    pre,  # (T, B, G H)
    hs,  # (T + 1, B, H): the states before each step and the last, the first of them given
    cs,  # (T + 1, B, H), float32, likewise; an LSTM's
    gates,  # (T, B, G H): activated; or None
    inner,  # (T, B, H): a GRU's recurrent part of n; or None
    weight,
    bias,
    modrelu,
    lengths,
    operands,  # (T, B, H): what the products read, the first given; None for h itself
    mu,  # (T + 2, B)
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
    pre += member * time * area * GATES
    hs += member * (time + 1) * area
    weight += member * GATES * hidden * hidden
    if MODE == LSTM:
        cs += member * (time + 1) * area
        c = tl.load(cs + place, here, 0.0)
    if gates is not None:
        gates += member * time * area * GATES
    if inner is not None:
        inner += member * time * area
    if operands is not None:
        operands += member * time * area
    if mu is not None:
        mu += member * (time + 2) * batch
    if kept is not None:
        kept += member * area
    if zone_h is not None:
        zone_h += member * time * area
    if zone_c is not None:
        zone_c += member * time * area
    if modrelu is not None:
        margin = tl.load(modrelu + member * hidden + units, units < hidden, 0.0).to(tl.float32)
    if lengths is not None:
        length = tl.load(lengths + member * batch + rows, rows < batch, 0)
    if bias is not None:
        bias += member * GATES * hidden
    if WAIT:
        counters += member * tl.num_programs(1) + group
    dtype = pre.dtype.element_ty
    h = tl.load(hs + place, here, 0.0).to(tl.float32)
    if SINGLE:
        if operands is not None:
            x = tl.load(operands + place, here, 0.0)
        else:
            x = h.to(dtype)
    if STATIONARY:
        w0 = weights(weight, 0, units, ks, hidden, True)
        if GATES > 1:
            w1 = weights(weight, 1, units, ks, hidden, True)
            w2 = weights(weight, 2, units, ks, hidden, True)
        if GATES > 3:
            w3 = weights(weight, 3, units, ks, hidden, True)
    p0 = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    p1, p2, p3 = p0, p0, p0
    b0, b1, b2, b3 = p0, p0, p0, p0
    if bias is not None:
        b0 += tl.load(bias + units, units < hidden, 0.0).to(tl.float32)[None, :]
        if GATES > 1:
            b1 += tl.load(bias + hidden + units, units < hidden, 0.0).to(tl.float32)[None, :]
            b2 += tl.load(bias + 2 * hidden + units, units < hidden, 0.0).to(tl.float32)[None, :]
        if GATES > 3:
            b3 += tl.load(bias + 3 * hidden + units, units < hidden, 0.0).to(tl.float32)[None, :]
    for i in range(steps):
        # asked for before the programs meet, so that the answer comes while they wait
        a0 = tl.load(pre + wide, here, 0.0).to(tl.float32)
        if GATES > 1:
            a1 = tl.load(pre + wide + hidden, here, 0.0).to(tl.float32)
            a2 = tl.load(pre + wide + 2 * hidden, here, 0.0).to(tl.float32)
        if GATES > 3:
            a3 = tl.load(pre + wide + 3 * hidden, here, 0.0).to(tl.float32)
        read = hs
        if operands is not None:
            read = operands
        if WAIT:
            if i > 0:
                meet(counters, i * tl.num_programs(0))
        if STATIONARY:
            if not SINGLE:
                inside = (rows < batch)[:, None] & (ks < hidden)[None, :]
                source = read + rows[:, None] * hidden + ks[None, :]
                x = tl.load(source, inside, 0.0, cache_modifier=".cg")
            p0 = dot(x, w0, b0, PRECISION)
            if GATES > 1:
                p1 = dot(x, w1, b1, PRECISION)
                p2 = dot(x, w2, b2, PRECISION)
            if GATES > 3:
                p3 = dot(x, w3, b3, PRECISION)
        else:
            p0, p1, p2, p3 = b0, b1, b2, b3
            for k in range(0, hidden, BLOCK_K):
                inside = (rows < batch)[:, None] & (k + ks < hidden)[None, :]
                source = read + rows[:, None] * hidden + (k + ks)[None, :]
                x = tl.load(source, inside, 0.0, cache_modifier=".cg")
                w0 = weights(weight, 0, units, k + ks, hidden, True)
                p0 = dot(x, w0, p0, PRECISION)
                if GATES > 1:
                    w1 = weights(weight, 1, units, k + ks, hidden, True)
                    p1 = dot(x, w1, p1, PRECISION)
                    w2 = weights(weight, 2, units, k + ks, hidden, True)
                    p2 = dot(x, w2, p2, PRECISION)
                if GATES > 3:
                    w3 = weights(weight, 3, units, k + ks, hidden, True)
                    p3 = dot(x, w3, p3, PRECISION)
        if MODE == LSTM:
            a0 = tl.sigmoid(a0 + p0)
            a1 = tl.sigmoid(a1 + p1)
            a2 = tanh(a2 + p2)
            a3 = tl.sigmoid(a3 + p3)
            new_c = a1 * c + a0 * a2
            new = a3 * tanh(new_c)
            if ZONES:
                new_c = zoned(new_c, c, zone_c, rate_c, place, here)
        elif MODE == GRU:
            a0 = tl.sigmoid(a0 + p0)
            a1 = tl.sigmoid(a1 + p1)
            a2 = tanh(a2 + a0 * p2)
            new = a2 + a1 * (h - a2)
        else:
            a0 += p0
            if MODE == RELU:
                a0 = tl.maximum(a0, 0.0)
            elif MODE == TANH:
                a0 = tanh(a0)
            else:
                size = tl.maximum(tl.abs(a0) + margin[None, :], 0.0)
                a0 = tl.where(a0 > 0, size, tl.where(a0 < 0, -size, a0))
            new = a0
        if ZONES:
            new = zoned(new, h, zone_h, rate_h, place, here)
        if lengths is not None:
            alive = (begin + i < length)[:, None]
            new = tl.where(alive, new, h)
            if MODE == LSTM:
                new_c = tl.where(alive, new_c, c)
        if gates is not None:
            tl.store(gates + wide, a0.to(dtype), here)
            if GATES > 1:
                tl.store(gates + wide + hidden, a1.to(dtype), here)
                tl.store(gates + wide + 2 * hidden, a2.to(dtype), here)
            if GATES > 3:
                tl.store(gates + wide + 3 * hidden, a3.to(dtype), here)
            gates += GATES * area
        if inner is not None:
            tl.store(inner + place, p2.to(dtype), here)
            inner += area
        pre += GATES * area
        hs += area
        tl.store(hs + place, new.to(dtype), here)
        if MODE == LSTM:
            c = new_c
            cs += area
            tl.store(cs + place, c, here)
        if zone_h is not None:
            zone_h += area
        if zone_c is not None:
            zone_c += area
        y = new
        if operands is not None:
            if mu is not None:
                mu += batch
                ahead = tl.load(mu + rows, rows < batch, 0.0)
                y = y + ahead[:, None] * (new - h)
            y = seen(y, kept, scale, place, here)
            operands += area
            if begin + i + 1 < time:
                tl.store(operands + place, y.to(dtype), here)
        if SINGLE:
            x = y.to(dtype)
        h = new
