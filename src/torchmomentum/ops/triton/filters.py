"""The rules along time as Triton kernels: each lane follows one channel of one sequence.

Sequences are ``(T, channels)`` with the batch's rows in the channels, contiguous; states float32.
"""

import triton
import triton.language as tl


# a length of 1 would be a constant, without a type of its own
@triton.jit(do_not_specialize=["time"])
def linear(
    x,
    out,
    initial,
    decay,  # (T, channels / span)
    gain,
    constant,  # the decay, where there is no tensor of it
    time,
    channels,
    span,  # neighbouring channels that share a decay
    REVERSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``v_t = decay_t * v_{t-1} + gain * x_t``."""
    lanes = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lanes < channels
    v = tl.load(initial + lanes, here, 0.0).to(tl.float32)
    decays = channels // span  # of a step
    whose = lanes // span
    forward = 1
    if REVERSE:
        last = (time - 1).to(tl.int64)
        x += last * channels
        out += last * channels
        if decay is not None:
            decay += last * decays
        forward = -1
    for _ in range(time):
        if decay is not None:
            kept = tl.load(decay + whose, here, 0.0).to(tl.float32)
            decay += forward * decays
        else:
            kept = constant
        v = kept * v + gain * tl.load(x + lanes, here, 0.0).to(tl.float32)
        tl.store(out + lanes, v.to(out.dtype.element_ty), here)
        x += forward * channels
        out += forward * channels


@triton.jit
def _hypotenuse(a, b):
    a, b = tl.abs(a), tl.abs(b)
    large, small = tl.maximum(a, b), tl.minimum(a, b)
    ratio = small / tl.where(large == 0.0, 1.0, large)
    return large * tl.sqrt(1.0 + ratio * ratio)


@triton.jit
def _adam_step(x, v, r, mu, gain, old_root, new_root, limit):
    x = tl.minimum(tl.maximum(x, -limit), limit)
    return mu * v + gain * x, _hypotenuse(old_root * r, new_root * x)


@triton.jit
def adam_forward(
    x,
    out,
    velocity,  # in: the first; out: the last
    rms,
    marks,  # (chunks, 2, channels): the states where each chunk begins; or None
    alive,  # (T, B), bytes; or None
    mu,
    gain,
    old_root,
    new_root,
    eps,
    limit,
    bound,
    time,
    channels,
    width,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``y = v / (r + eps)``."""
    lanes = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lanes < channels
    rows = channels // width
    v, r = tl.load(velocity + lanes, here, 0.0), tl.load(rms + lanes, here, 0.0)
    for t in range(time):
        if marks is not None:
            if t % CHUNK == 0:
                tl.store(marks + lanes, v, here)
                tl.store(marks + channels + lanes, r, here)
                marks += 2 * channels
        drive = tl.load(x + lanes, here, 0.0).to(tl.float32)
        new_v, new_r = _adam_step(drive, v, r, mu, gain, old_root, new_root, limit)
        if alive is not None:
            counts = tl.load(alive + lanes // width, here, 0) != 0
            new_v, new_r = tl.where(counts, new_v, v), tl.where(counts, new_r, r)
            alive += rows
        v, r = new_v, new_r
        y = tl.minimum(tl.maximum(v / (r + eps), -bound), bound)
        tl.store(out + lanes, y.to(out.dtype.element_ty), here)
        x += channels
        out += channels
    tl.store(velocity + lanes, v, here)
    tl.store(rms + lanes, r, here)


@triton.jit(do_not_specialize=["time"])
def adam_backward(
    x,
    grad,  # of the outputs; or None
    grad_x,
    grad_velocity,  # in: of the last; out: of the first
    grad_rms,
    marks,
    scratch,  # (2, CHUNK + 1, channels): the states of one chunk
    alive,
    sums,  # (programs, 2): of mu and of gain; or None
    mu,
    gain,
    beta,
    old_root,
    new_root,
    eps,
    limit,
    largest,
    bound,
    tiny,
    time,
    channels,
    width,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A chunk's states are made again from its mark, then its steps go back in time."""
    lanes = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = lanes < channels
    rows = channels // width
    row = lanes // width
    dv = tl.load(grad_velocity + lanes, here, 0.0)
    dr = tl.load(grad_rms + lanes, here, 0.0)
    sum_mu, sum_gain = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    second = scratch + (CHUNK + 1) * channels
    chunks = (time + CHUNK - 1) // CHUNK
    chunk = chunks.to(tl.int64)
    for _ in range(chunks):
        chunk -= 1
        first = chunk * CHUNK
        count = tl.minimum(time - first, CHUNK).to(tl.int32)
        mark = marks + chunk * 2 * channels
        v, r = tl.load(mark + lanes, here, 0.0), tl.load(mark + channels + lanes, here, 0.0)
        for i in range(count):
            tl.store(scratch + i * channels + lanes, v, here)
            tl.store(second + i * channels + lanes, r, here)
            drive = tl.load(x + (first + i) * channels + lanes, here, 0.0).to(tl.float32)
            new_v, new_r = _adam_step(drive, v, r, mu, gain, old_root, new_root, limit)
            if alive is not None:
                counts = tl.load(alive + (first + i) * rows + row, here, 0) != 0
                new_v, new_r = tl.where(counts, new_v, v), tl.where(counts, new_r, r)
            v, r = new_v, new_r
        for j in range(count):
            i = count - 1 - j
            place = (first + i) * channels + lanes
            before_v = tl.load(scratch + i * channels + lanes, here, 0.0)
            before_r = tl.load(second + i * channels + lanes, here, 0.0)
            raw = tl.load(x + place, here, 0.0).to(tl.float32)
            drive = tl.minimum(tl.maximum(raw, -limit), limit)
            if grad is not None:
                y = v / (r + eps)
                through = tl.load(grad + place, here, 0.0).to(tl.float32) / (r + eps)
                through = tl.where(tl.abs(y) < bound, through, 0.0)
                through = tl.minimum(tl.maximum(through, -largest), largest)
                dv += through
                dr -= through * y
            safe = tl.maximum(r, tiny)
            pull = dv * gain + (1.0 - beta) * (drive / safe) * dr
            pull = tl.minimum(tl.maximum(pull, -largest), largest)
            pull = tl.where(tl.abs(raw) > limit, 0.0, pull)
            next_dv, next_dr = dv * mu, (before_r / safe) * dr * beta
            if alive is not None:
                counts = tl.load(alive + (first + i) * rows + row, here, 0) != 0
                pull = tl.where(counts, pull, 0.0)
                sum_mu += tl.where(counts, dv * before_v, 0.0)
                sum_gain += tl.where(counts, dv * drive, 0.0)
                next_dv, next_dr = tl.where(counts, next_dv, dv), tl.where(counts, next_dr, dr)
            else:
                sum_mu += dv * before_v
                sum_gain += dv * drive
            tl.store(grad_x + place, pull.to(grad_x.dtype.element_ty), here)
            dv, dr, v, r = next_dv, next_dr, before_v, before_r
    tl.store(grad_velocity + lanes, dv, here)
    tl.store(grad_rms + lanes, dr, here)
    if sums is not None:
        tl.store(sums + tl.program_id(0) * 2, tl.sum(tl.where(here, sum_mu, 0.0)))
        tl.store(sums + tl.program_id(0) * 2 + 1, tl.sum(tl.where(here, sum_gain, 0.0)))
