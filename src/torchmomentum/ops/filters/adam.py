"""The Adam rule along time: a momentum divided by a running root mean square."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from torchmomentum.ops._loop import Tensors, along_time, to_onnx
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.triton import filter_launch as triton_filters

LARGEST = 1e4  # bounds the quotient: every gate is long saturated there, in value and in gradient


def largest_drive(x: Tensor, gain: float = 1.0) -> float:
    """What drives and gradients are bounded by, so that no sum overflows, after the gain either.

    Without a gain it is the root of the largest finite number.
    """
    return math.sqrt(torch.finfo(x.dtype).max) / max(1.0, gain)


def _hypotenuse(a: Tensor, b: Tensor) -> Tensor:
    """``sqrt(a**2 + b**2)``, with a gradient of zero where both are."""
    if to_onnx():  # which has no hypot
        large, small = torch.maximum(a.abs(), b.abs()), torch.minimum(a.abs(), b.abs())
        ratio = small / torch.where(large == 0, 1.0, large)
        return large * (1 + ratio * ratio).sqrt()
    silent = (a == 0) & (b == 0)
    return torch.where(silent, 0.0, torch.hypot(torch.where(silent, 1.0, a), b))


def _keep(new: Tensor, old: Tensor, mask: Tensor | None) -> Tensor:
    return new if mask is None else torch.where(mask, new, old)


def adam_scan_definition(
    x: Tensor,
    velocity: Tensor,
    rms: Tensor,
    mu: Tensor,
    gain: Tensor,
    mask: Tensor | None,
    beta: float,
    eps: float,
    learned: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The rule in plain PyTorch, one step after the other. See :func:`adam_scan`."""
    limit, exported = largest_drive(x), to_onnx()
    if not exported:  # no number of a tensor is known there
        limit = largest_drive(x, gain.item())

    def step(carry: Tensors, at: Mapping[str, Tensor]) -> tuple[Tensors, Tensor]:
        (velocity, rms), alive = carry, at.get("alive")
        drive = at["x"].clamp(-limit, limit)
        velocity = _keep(mu * velocity + gain * drive, velocity, alive)
        root = _hypotenuse(math.sqrt(beta) * rms, math.sqrt(1 - beta) * drive)
        rms = _keep(root, rms, alive)
        return (velocity, rms), (velocity / (rms + eps)).clamp(-LARGEST, LARGEST)

    outputs, (velocity, rms) = along_time(step, (velocity, rms), {"x": x, "alive": mask})
    return outputs, velocity, rms


def _numbers(x: Tensor, mu: Tensor, gain: Tensor, beta: float, eps: float) -> dict[str, float]:
    """The rule's numbers by the names that its Triton kernels have for them."""
    found = {"mu": mu.item(), "gain": gain.item(), "eps": eps, **triton_filters.roots(beta)}
    limits = {"limit": largest_drive(x, found["gain"]), "largest": largest_drive(x)}
    return {**found, **limits, "bound": LARGEST}


def _forward(
    x: Tensor,
    velocity: Tensor,
    rms: Tensor,
    mu: Tensor,
    gain: Tensor,
    mask: Tensor | None,
    beta: float,
    eps: float,
    learned: bool,
) -> tuple[Tensor, ...]:
    if triton_filters.serves(x):
        numbers = _numbers(x, mu, gain, beta, eps)
        return *triton_filters.adam_forward(x, velocity, rms, mask, numbers), x.new_empty(0)
    # one step's tensors stay in the cache, where passes over whole sequences would not
    outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
    roots, velocities = torch.empty_like(outputs), torch.empty_like(outputs if learned else x[:1])
    kept, scale, limit = mu.item(), gain.item(), largest_drive(x, gain.item())
    root_kept, root_new = math.sqrt(beta), math.sqrt(1 - beta)
    scratch = torch.empty_like(outputs[0])
    for t, (drive, y, r) in enumerate(
        zip(x.unbind(0), outputs.unbind(0), roots.unbind(0), strict=True)
    ):
        torch.clamp(drive, -limit, limit, out=scratch)
        v = velocities[t] if learned else velocities[0]
        torch.mul(scratch, root_new, out=r)
        torch.hypot(r, rms * root_kept, out=r)
        scratch.mul_(scale)
        if kept:
            scratch.add_(velocity, alpha=kept)
        if mask is not None:
            scratch.copy_(torch.where(mask[t], scratch, velocity))
            r.copy_(torch.where(mask[t], r, rms))
        v.copy_(scratch)
        torch.div(scratch, torch.add(r, eps, out=y), out=y).clamp_(-LARGEST, LARGEST)
        velocity, rms = v, r
    return outputs, velocity.clone(), rms.clone(), roots, velocities


def _backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[object],
) -> list[Tensor]:
    x, v0, r0, mu, gain, mask = tensors
    if x is None or v0 is None or r0 is None or mu is None or gain is None:
        raise TypeError("only the mask may be absent")
    beta, eps, learned = (float(str(c)) if not isinstance(c, bool) else c for c in constants)
    outputs, _, _, roots, velocities = results
    grad_y, grad_v, grad_r = grads
    if triton_filters.serves(x):
        numbers = _numbers(x, mu, gain, beta, eps)
        carried = tuple(
            torch.zeros_like(s) if g is None else g.clone(memory_format=torch.contiguous_format)
            for s, g in ((v0, grad_v), (r0, grad_r))
        )
        pulled, *totals = triton_filters.adam_backward(
            *(x, grad_y, (carried[0], carried[1]), roots, mask, numbers, bool(learned))
        )
        return [pulled, *carried, *totals]
    kept, scale, tiny = mu.item(), gain.item(), torch.finfo(x.dtype).tiny
    grad_x = torch.zeros_like(x, memory_format=torch.contiguous_format)
    dv = torch.zeros_like(v0) if grad_v is None else grad_v.clone()
    dr = torch.zeros_like(r0) if grad_r is None else grad_r.clone()
    largest, limit = largest_drive(x), largest_drive(x, scale)
    sums = torch.zeros(2, dtype=torch.float64, device=x.device)
    for t in range(x.shape[0] - 1, -1, -1):
        y, r = outputs[t], roots[t]
        if grad_y is not None:
            through = (grad_y[t] * (y.abs() < LARGEST)).div_(r + eps).clamp_(-largest, largest)
            dv = dv + through
            dr = torch.addcmul(dr, through, y, value=-1)
        held_v = held_r = None
        if mask is not None:
            held_v, held_r = dv.masked_fill(mask[t], 0), dr.masked_fill(mask[t], 0)
            dv, dr = dv.masked_fill(~mask[t], 0), dr.masked_fill(~mask[t], 0)
        before_r = roots[t - 1] if t else r0
        # dr_t/dx_t = (1 - beta) x_t / r_t and dr_t/dr_{t-1} = beta r_{t-1} / r_t: both are bounded,
        # and zero in silence, where the derivative of a mean of squares would not be
        safe = r.clamp_min(tiny)
        pull = torch.mul(dv, scale, out=grad_x[t])
        pull.addcmul_(x[t] / safe, dr, value=1 - beta).clamp_(-largest, largest)
        if learned:
            before_v = velocities[t - 1] if t else v0
            sums[0] += (dv * before_v).sum(dtype=torch.float64)
            sums[1] += (dv * x[t].clamp(-limit, limit)).sum(dtype=torch.float64)
        dv = dv * kept
        dr = (before_r / safe).mul_(dr).mul_(beta)
        if held_v is not None and held_r is not None:
            dv, dr = dv + held_v, dr + held_r
    if roots.numel() and roots.amax() >= math.sqrt(1 - beta) * limit:
        grad_x.masked_fill_(x.abs() > limit, 0)
    return [grad_x, dv, dr, *sums.to(mu.dtype).unbind(0)]


def _fake(
    x: Tensor,
    velocity: Tensor,
    rms: Tensor,
    mu: Tensor,
    gain: Tensor,
    mask: Tensor | None,
    beta: float,
    eps: float,
    learned: bool,
) -> tuple[Tensor, ...]:
    outputs = torch.empty_like(x, memory_format=torch.contiguous_format)
    velocities = torch.empty_like(outputs) if learned else x.new_empty(1, *x.shape[1:])
    last = torch.empty_like(velocity), torch.empty_like(rms)
    if triton_filters.serves(x):
        marks = x.new_empty(triton_filters.marks(len(x)), 2, *x.shape[1:])
        return outputs, *last, marks, x.new_empty(0)
    return outputs, *last, torch.empty_like(outputs), velocities


_adam_scan = define_recurrence(
    "adam_scan",
    arguments="Tensor x, Tensor velocity, Tensor rms, Tensor mu, Tensor gain, Tensor? mask",
    constants="float beta, float eps, bool learned",
    outputs=3,
    saved=2,
    definition=adam_scan_definition,
    forward=_forward,
    backward=_backward,
    fake=_fake,
)


def adam_scan(
    x: Tensor,
    velocity: Tensor,
    rms: Tensor,
    *,
    mu: float | Tensor,
    gain: float | Tensor,
    beta: float,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Momentum over the running root mean square, along the first dimension.

    .. math::
        v_t = \mu v_{t-1} + \text{gain}\; x_t, \qquad
        r_t = \sqrt{\beta r_{t-1}^2 + (1 - \beta) x_t^2}, \qquad
        y_t = \frac{v_t}{r_t + \epsilon}

    This is equation (15) of the MomentumRNN paper with :math:`r_t = \sqrt{m_t}`. The root is
    carried instead of the second moment :math:`m_t` because a square over- and underflows where its
    root does not, and because the root's derivatives are bounded: silence (a drive of exactly zero)
    of any length gives finite values and gradients. Where :math:`r_t = 0` its derivative is taken
    as zero, and :math:`y_t` is bounded by 10,000.

    Args:
        x: The drive, ``(T, B, N)``, float32 or float64.
        velocity: :math:`v_0`, ``(B, N)``.
        rms: :math:`r_0`, ``(B, N)``, not negative.
        mu: Momentum in [0, 1), a number or a scalar tensor to differentiate with respect to.
        gain: What the drive is scaled by, likewise.
        beta: How much of the mean of squares is kept each step, in [0, 1).
        eps: Added to the root, positive.
        mask: True where a step counts, ``(T, B, 1)``; the state stays as it is elsewhere.

    Returns:
        :math:`y`, ``(T, B, N)``, and the last velocity and root, each ``(B, N)``.

    Example:
        >>> x, zero = torch.tensor([2.0, 0.0]).view(2, 1, 1), torch.zeros(1, 1)
        >>> y, v, r = adam_scan(x, zero, zero, mu=0.5, gain=1.0, beta=0.25, eps=1e-8)
        >>> v.item(), round(r.item() ** 2, 6)
        (1.0, 0.75)
    """
    learned = isinstance(mu, Tensor) or isinstance(gain, Tensor)
    mu, gain = [s.to(x.dtype) if isinstance(s, Tensor) else x.new_full((), s) for s in (mu, gain)]
    if to_onnx():
        return adam_scan_definition(x, velocity, rms, mu, gain, mask, beta, eps)
    results = _adam_scan(x, velocity, rms, mu, gain, mask, beta, eps, learned)
    return results[0], results[1], results[2]
