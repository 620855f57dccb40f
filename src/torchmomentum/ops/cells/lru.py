"""The linear recurrent unit: a diagonal complex recurrence, as one scan.

A CPU kernel scans complex numbers. Elsewhere it is a real scan: seen from a frame that turns with a
unit, its complex state only shrinks. So all drives are turned back by the angle of their step,
filtered with real decays, and turned forth again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum.ops._affine import affine
from torchmomentum.ops._lengths import last_alive
from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import Cell, Extra, State, Weights, register
from torchmomentum.ops.filters.complex import complex_kernel_serves, complex_scan
from torchmomentum.ops.filters.linear import linear_scan

Pair = tuple[Tensor, Tensor]  # real and imaginary parts


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _turned(x: Pair, cosine: Tensor, sine: Tensor) -> Pair:
    """Complex numbers times ``cosine + i sine``."""
    re, im = x
    return re * cosine - im * sine, re * sine + im * cosine


def _scale(weights: Weights) -> Tensor:
    return _wide(weights.extra["gamma_log"]).exp()


def _modulus(weights: Weights) -> Tensor:
    return torch.exp(-_wide(weights.extra["nu_log"]).exp())


def _shown(state: Tensor, skip: Tensor, weights: Weights, dtype: torch.dtype) -> Tensor:
    """The output: the real part of ``C x``, and ``D u``; states are real parts, then imaginary."""
    real, imaginary = _wide(weights.extra["weight_ro"]).chunk(2, -1)
    return (affine(state, torch.cat([real, -imaginary], -1)) + skip).to(dtype)


def _step(
    pre: Tensor, state: State, weights: Weights, operand: Tensor, modifiers: Modifiers
) -> State:
    re, im, skip = _wide(pre).chunk(3, -1)
    scale, modulus = _scale(weights), _modulus(weights)
    angle = _wide(weights.extra["theta_log"]).exp()
    old = _wide(state[1]), _wide(state[2])
    kept = _turned(old, modulus * angle.cos(), modulus * angle.sin())
    new = re * scale + kept[0], im * scale + kept[1]
    out = _shown(torch.cat(new, -1), skip, weights, pre.dtype)
    return out, *[part.to(pre.dtype) for part in new]


def _turning(
    drives: Tensor, start: Tensor, weights: Weights, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """All states and the last, by a real scan in the turning frame."""
    re, im = drives.chunk(2, -1)
    time, _, width = re.shape
    # in float64: an angle grows with the step
    angle = weights.extra["theta_log"].double().exp()
    steps = torch.arange(1, time + 1, device=drives.device).view(-1, 1, 1)
    if lengths is not None:  # the state stands still behind a sequence's end
        steps = torch.minimum(steps, lengths.to(drives.device).view(-1, 1))
    turns = steps * angle
    cosine, sine = turns.cos().to(re.dtype), turns.sin().to(re.dtype)
    decay, scale = _modulus(weights).repeat(2).expand(1, 1, -1), _scale(weights)
    drive = torch.cat(_turned((re, im), cosine * scale, -sine * scale), -1)
    found = linear_scan(drive, decay, start, lengths=lengths)
    states = torch.cat(_turned((found[..., :width], found[..., width:]), cosine, sine), -1)
    return states, states[-1]


def _complex(
    drives: Tensor, start: Tensor, weights: Weights, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same by one scan of complex numbers, where a kernel has it."""
    angle, modulus = weights.extra["theta_log"].double().exp(), _modulus(weights)
    turn = torch.stack([angle.cos(), angle.sin()]).to(modulus.dtype)
    states, last = complex_scan(drives, modulus * turn, _scale(weights), start, internal=True)
    return states, last if lengths is None else last_alive(states, lengths)


def _scan(
    pre: Tensor, state: State, weights: Weights, lengths: Tensor | None
) -> tuple[Tensor, ...]:
    width = pre.shape[-1] // 3
    drives, skip = _wide(pre).split([2 * width, width], -1)
    start = _wide(torch.cat(state[1:], -1))
    run = _complex if complex_kernel_serves(drives) else _turning
    states, last = run(drives, start, weights, lengths)
    out = _shown(states, skip, weights, pre.dtype)
    shown = out[-1] if lengths is None else last_alive(out, lengths)
    return out, shown, *[part.to(pre.dtype) for part in last.chunk(2, -1)]


LRU = register(
    Cell(
        "LRU",
        gates=3,
        step=_step,
        states=("h", "re", "im"),
        extra=(
            Extra("nu_log", lambda h, width: (width,)),
            Extra("theta_log", lambda h, width: (width,)),
            Extra("gamma_log", lambda h, width: (width,)),
            Extra("weight_ro", lambda h, width: (h, 2 * width)),
        ),
        norms=(),
        scan=_scan,
    )
)
