"""The recurrences over pre-activations as two Triton kernels, one for each direction of time.

A program has a tile of the batch's rows and a tile of the hidden units, all gates of both, through
all of time. States are float32 and stay in registers; products take the type of the input. Where
the weights of its units fit, a program keeps them too. Where one tile holds all units, programs
never meet. Otherwise the programs of the same rows meet once a step at a counter, which needs all
of them on the device at once, or are launched anew for each step.

All arrays are contiguous with an ensemble's members first: ``(E, T, B, width)``, states
``(E, B, H)``, weights ``(E, G H, H)``.
"""

import triton
import triton.language as tl

LSTM, GRU, TANH, RELU, MODRELU = (tl.constexpr(k) for k in range(5))


@triton.jit
def _dot(x, w, acc, PRECISION: tl.constexpr):
    """``acc + x @ w``; Triton's interpreter cannot multiply bfloat16 itself."""
    if PRECISION == "wide":
        return tl.dot(x.to(tl.float32), w.to(tl.float32), acc, input_precision="ieee")
    return tl.dot(x, w, acc, input_precision=PRECISION)


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _meet(counter, count):
    """Waits until as many programs as ``count`` have come here; what they stored can be read."""
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release")
    while tl.atomic_add(counter, 0, sem="acquire") < count:
        pass
    tl.debug_barrier()


@triton.jit
def _weights(weight, gate, units, ks, hidden, TRANSPOSED: tl.constexpr):
    """A gate's tile: ``(units, units before)``, or the other way round for the forward product."""
    inside = (units < hidden)[None, :] & (ks < hidden)[:, None]
    if TRANSPOSED:
        return tl.load(weight + (gate * hidden + units)[None, :] * hidden + ks[:, None], inside, 0)
    return tl.load(weight + (gate * hidden + ks)[:, None] * hidden + units[None, :], inside, 0)


@triton.jit
def _seen(x, kept, scale, place, here):
    """What recurrent dropout leaves."""
    if kept is not None:
        x = x * (tl.load(kept + place, here, 0).to(tl.float32) * scale)
    return x


@triton.jit
def _stays(mask, rate, place, here):
    """How much of a state zoneout lets stay."""
    if mask is not None:
        part = tl.load(mask + place, here, 0).to(tl.float32)
    else:
        part = rate
    return part


@triton.jit
def _zoned(new, old, mask, rate, place, here):
    """A state of which zoneout keeps a part; a unit that stays does so to the last bit."""
    stays = _stays(mask, rate, place, here)
    if mask is not None:
        new = tl.where(stays != 0, old, new)
    else:
        new += stays * (old - new)
    return new


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
        w0 = _weights(weight, 0, units, ks, hidden, True)
        if GATES > 1:
            w1 = _weights(weight, 1, units, ks, hidden, True)
            w2 = _weights(weight, 2, units, ks, hidden, True)
        if GATES > 3:
            w3 = _weights(weight, 3, units, ks, hidden, True)
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
                _meet(counters, i * tl.num_programs(0))
        if STATIONARY:
            if not SINGLE:
                inside = (rows < batch)[:, None] & (ks < hidden)[None, :]
                source = read + rows[:, None] * hidden + ks[None, :]
                x = tl.load(source, inside, 0.0, cache_modifier=".cg")
            p0 = _dot(x, w0, b0, PRECISION)
            if GATES > 1:
                p1 = _dot(x, w1, b1, PRECISION)
                p2 = _dot(x, w2, b2, PRECISION)
            if GATES > 3:
                p3 = _dot(x, w3, b3, PRECISION)
        else:
            p0, p1, p2, p3 = b0, b1, b2, b3
            for k in range(0, hidden, BLOCK_K):
                inside = (rows < batch)[:, None] & (k + ks < hidden)[None, :]
                source = read + rows[:, None] * hidden + (k + ks)[None, :]
                x = tl.load(source, inside, 0.0, cache_modifier=".cg")
                w0 = _weights(weight, 0, units, k + ks, hidden, True)
                p0 = _dot(x, w0, p0, PRECISION)
                if GATES > 1:
                    w1 = _weights(weight, 1, units, k + ks, hidden, True)
                    p1 = _dot(x, w1, p1, PRECISION)
                    w2 = _weights(weight, 2, units, k + ks, hidden, True)
                    p2 = _dot(x, w2, p2, PRECISION)
                if GATES > 3:
                    w3 = _weights(weight, 3, units, k + ks, hidden, True)
                    p3 = _dot(x, w3, p3, PRECISION)
        if MODE == LSTM:
            a0 = tl.sigmoid(a0 + p0)
            a1 = tl.sigmoid(a1 + p1)
            a2 = _tanh(a2 + p2)
            a3 = tl.sigmoid(a3 + p3)
            new_c = a1 * c + a0 * a2
            new = a3 * _tanh(new_c)
            if ZONES:
                new_c = _zoned(new_c, c, zone_c, rate_c, place, here)
        elif MODE == GRU:
            a0 = tl.sigmoid(a0 + p0)
            a1 = tl.sigmoid(a1 + p1)
            a2 = _tanh(a2 + a0 * p2)
            new = a2 + a1 * (h - a2)
        else:
            a0 += p0
            if MODE == RELU:
                a0 = tl.maximum(a0, 0.0)
            elif MODE == TANH:
                a0 = _tanh(a0)
            else:
                size = tl.maximum(tl.abs(a0) + margin[None, :], 0.0)
                a0 = tl.where(a0 > 0, size, tl.where(a0 < 0, -size, a0))
            new = a0
        if ZONES:
            new = _zoned(new, h, zone_h, rate_h, place, here)
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
            y = _seen(y, kept, scale, place, here)
            operands += area
            if begin + i + 1 < time:
                tl.store(operands + place, y.to(dtype), here)
        if SINGLE:
            x = y.to(dtype)
        h = new


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
        acc = _dot(x, w0, acc, PRECISION)
        if GATES > 1:
            x = _gate(rec, 1, rows, ks, batch, hidden, GATES)
            acc = _dot(x, w1, acc, PRECISION)
            x = _gate(rec, 2, rows, ks, batch, hidden, GATES)
            acc = _dot(x, w2, acc, PRECISION)
        if GATES > 3:
            x = _gate(rec, 3, rows, ks, batch, hidden, GATES)
            acc = _dot(x, w3, acc, PRECISION)
    else:
        for gate in tl.static_range(GATES):
            for k in range(0, hidden, BLOCK_K):
                x = _gate(rec, gate, rows, k + ks, batch, hidden, GATES)
                w = _weights(weight, gate, units, k + ks, hidden, False)
                acc = _dot(x, w, acc, PRECISION)
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
        w0 = _weights(weight, 0, units, ks, hidden, False)
        if GATES > 1:
            w1 = _weights(weight, 1, units, ks, hidden, False)
            w2 = _weights(weight, 2, units, ks, hidden, False)
        if GATES > 3:
            w3 = _weights(weight, 3, units, ks, hidden, False)
    for j in range(steps):
        t = begin + steps - 1 - j
        if not SINGLE:
            if t + 1 < time:
                if WAIT:
                    if j > 0:
                        _meet(counters, j * tl.num_programs(0))
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
            h += _seen(through, kept, scale, place, here)
        if mu is not None:
            mu -= batch
        if zone_h is not None:
            zone_h -= area
        if zone_c is not None:
            zone_c -= area
        total, total_c, past = h, dc, zero
        if ZONES:
            past = _stays(zone_h, rate_h, place, here) * h
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
            squashed = _tanh(a1 * before + a0 * a2)
            past_c = zero
            if ZONES:
                past_c = _stays(zone_c, rate_c, place, here) * dc
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
            later = _dot(g0.to(dtype), w0, zero, PRECISION)
            if GATES > 1:
                later = _dot(g1.to(dtype), w1, later, PRECISION)
                later = _dot(g2.to(dtype), w2, later, PRECISION)
            if GATES > 3:
                later = _dot(g3.to(dtype), w3, later, PRECISION)
            if not CHANGED:
                dh += later
    if LAST and not SINGLE:
        if WAIT:
            _meet(counters, steps * tl.num_programs(0))
        latest = later
        later = _product(rec, weight, w0, w1, w2, w3, rows, units, ks, batch, hidden,
                         zero, GATES, STATIONARY, BLOCK_K, PRECISION)  # fmt: skip
        if not CHANGED:
            dh += later
    tl.store(carried + place, dh, here)
    tl.store(carried + area + place, dc, here)
    tl.store(carried + 2 * area + place, later, here)
    tl.store(carried + 3 * area + place, latest, here)
