"""What both directions of the recurrences' Triton kernels share."""

import triton
import triton.language as tl

LSTM, GRU, TANH, RELU, MODRELU = (tl.constexpr(k) for k in range(5))


@triton.jit
def dot(x, w, acc, PRECISION: tl.constexpr):
    """``acc + x @ w``; Triton's interpreter cannot multiply bfloat16 itself."""
    if PRECISION == "wide":
        return tl.dot(x.to(tl.float32), w.to(tl.float32), acc, input_precision="ieee")
    return tl.dot(x, w, acc, input_precision=PRECISION)


@triton.jit
def tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def meet(counter, count):
    """Waits until as many programs as ``count`` have come here; what they stored can be read.

    The loop is a load alone: an atomic operation on a number would have a barrier at each turn.
    """
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release")
    while tl.load(counter, volatile=True) < count:
        pass
    tl.atomic_add(counter, 0, sem="acquire")
    tl.debug_barrier()


@triton.jit
def weights(weight, gate, units, ks, hidden, TRANSPOSED: tl.constexpr):
    """A gate's tile: ``(units, units before)``, or the other way round for the forward product."""
    inside = (units < hidden)[None, :] & (ks < hidden)[:, None]
    if TRANSPOSED:
        return tl.load(weight + (gate * hidden + units)[None, :] * hidden + ks[:, None], inside, 0)
    return tl.load(weight + (gate * hidden + ks)[:, None] * hidden + units[None, :], inside, 0)


@triton.jit
def seen(x, kept, scale, place, here):
    """What recurrent dropout leaves."""
    if kept is not None:
        x = x * (tl.load(kept + place, here, 0).to(tl.float32) * scale)
    return x


@triton.jit
def stays(mask, rate, place, here):
    """How much of a state zoneout lets stay."""
    if mask is not None:
        part = tl.load(mask + place, here, 0).to(tl.float32)
    else:
        part = rate
    return part


@triton.jit
def zoned(new, old, mask, rate, place, here):
    """A state of which zoneout keeps a part; a unit that stays does so to the last bit."""
    part = stays(mask, rate, place, here)
    if mask is not None:
        new = tl.where(part != 0, old, new)
    else:
        new += part * (old - new)
    return new
