"""The linear filter along time, ``v_t = decay_t * v_{t-1} + gain * x_t``, of a bounded drive."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from torchmomentum._torch_private import plain
from torchmomentum.ops._autograd import register, with_autograd
from torchmomentum.ops._lengths import steps_alive
from torchmomentum.ops._loop import Tensors, along_time, to_onnx
from torchmomentum.ops.cpu.library import call, computes
from torchmomentum.ops.cpu.pool import new
from torchmomentum.ops.triton import filter_launch as triton_filters

_CHUNK = 32  # the most steps that one triangular matrix product filters
_NARROW = 8192  # channels up to which products beat one vector operation a step, on a CPU


def linear_scan_definition(
    x: Tensor,
    decay: Tensor | float,
    initial: Tensor,
    gain: float = 1.0,
    reverse: bool = False,
    bound: float = math.inf,
    internal: bool = False,
) -> Tensor:
    """The filter in plain PyTorch, one step after the other. See :func:`linear_scan`."""
    x = _clamped(x, bound)
    decays = decay.expand(x.shape[0], -1, -1) if isinstance(decay, Tensor) else None

    def step(carry: Tensors, at: Mapping[str, Tensor]) -> tuple[Tensors, Tensor]:
        v = at.get("decay", decay) * carry[0] + gain * at["x"]
        return (v,), v

    start = initial.expand_as(x[0])
    return along_time(step, (start,), {"x": x, "decay": decays}, reverse)[0]


def _clamped(x: Tensor, bound: float) -> Tensor:
    return x if bound == math.inf else x.clamp(-bound, bound)


def _by_step(x: Tensor, decay: Tensor, initial: Tensor, gain: float, reverse: bool) -> Tensor:
    out = (x * gain).contiguous()
    decays, views = decay.unbind(0), out.unbind(0)
    v = initial
    steps = range(x.shape[0])
    for t in reversed(steps) if reverse else steps:
        v = views[t].addcmul_(decays[t], v)
    return out


def _piece(time: int) -> int:
    """How many steps to filter at once: a divisor of the length where there is a fair one."""
    divisors = [size for size in range(_CHUNK, 6, -1) if time % size == 0]
    return divisors[0] if divisors else min(_CHUNK, time)


def _response(decays: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """What step i still holds of the drive of step j, and of what stood before the piece.

    Args:
        decays: ``(pieces, size, 1)``.
        gain: What the drive is scaled by.

    Returns:
        ``gain * decay_{j+1} * ... * decay_i``, ``(pieces, size, size)``, and
        ``decay_1 * ... * decay_i``, ``(pieces, size, 1)``.
    """
    size = decays.shape[1]
    below = torch.ones(size, size, dtype=torch.bool, device=decays.device).tril_(-1)
    response = torch.where(below, decays, 1).cumprod(1).tril_()
    inherited = response[:, :, :1] * decays[:, :1]
    return response.mul_(gain), inherited


@functools.lru_cache(maxsize=64)
def _constant_response(
    decay: float, gain: float, size: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """:func:`_response` for one decay, kept: making it costs as much as a short filter."""
    decays = torch.full((1, size, 1), decay, dtype=dtype, device=device)
    with torch.inference_mode(False):
        return _response(decays, gain)


def _by_product(x: Tensor, decay: Tensor | float, initial: Tensor, gain: float) -> Tensor:
    """Filters pieces of time by a triangular matrix product, then adds what each one inherits."""
    time, channels = x.shape[0], x[0].numel()
    size = _piece(time)
    pieces = -(-time // size)
    padding = pieces * size - time
    flat = x.reshape(time, channels)
    if padding:
        flat = pad(flat, (0, 0, 0, padding))
    if isinstance(decay, Tensor):
        decays = pad(decay.reshape(time), (0, padding)).view(pieces, size, 1)
        response, inherited = _response(decays, gain)
    else:
        response, inherited = _constant_response(decay, gain, size, x.dtype, x.device)
        response, inherited = response.expand(pieces, -1, -1), inherited.expand(pieces, -1, -1)
    out = torch.bmm(response, flat.view(pieces, size, channels))
    carry = initial.expand_as(x[0]).reshape(1, channels)
    for piece, kept in zip(out.unbind(0), inherited.unbind(0), strict=True):
        carry = piece.addcmul_(kept, carry)[-1:]
    return (out.view(-1, channels)[:time] if padding else out).view(x.shape)


def _strided(decay: Tensor | float, x: Tensor) -> tuple[Tensor, int]:
    """A decay as the compiled kernel reads it, and its stride there, for a contiguous drive."""
    time, channels = x.shape[0], x[0].numel()
    if not isinstance(decay, Tensor):
        return x.new_full((), decay), 0
    if decay.shape[0] != time:  # the same at each step
        return decay.expand_as(x[:1]).contiguous(), -1
    if decay.numel() == time:
        return decay.contiguous(), 1
    return decay.expand_as(x).contiguous(), channels


def _numbers(gain: float, reverse: bool, bound: float) -> tuple[float, float, int, int]:
    return float(gain), float(bound), int(reverse), torch.get_num_threads()


def _compiled_gradient(
    ctx: Any, grad: Tensor, x: Tensor | None, later: Tensor | float
) -> tuple[Tensor, Tensor]:
    """The gradient of the drives in one pass, and the adjoint of the step that comes last in it.

    Args:
        ctx: With the numbers of the forward.
        grad: Of the values, ``(T, B, N)``.
        x: The drives, where they have a bound.
        later: What of a value is kept in the step after it.
    """
    grad = grad.resolve_neg().contiguous()
    found, carry = new(grad, grad.shape, ctx.internal), torch.zeros_like(grad[0])
    drives = None if x is None else x.resolve_neg().contiguous()
    numbers = _numbers(ctx.gain, not ctx.reverse, ctx.bound)
    sizes = grad.shape[0], grad[0].numel()
    call("filter_gradient", *sizes, grad, drives, found, *_strided(later, grad), carry, *numbers)
    return found, carry


def _kernel(
    x: Tensor,
    decay: Tensor | float,
    initial: Tensor,
    gain: float,
    reverse: bool,
    bound: float,
    internal: bool,
) -> Tensor:
    if x.numel() == 0:
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    if computes(x, decay, initial):
        x, start = x.contiguous(), initial.expand_as(x[0]).contiguous()
        out, numbers = new(x, x.shape, internal), _numbers(gain, reverse, bound)
        call("filter", x.shape[0], x[0].numel(), x, out, *_strided(decay, x), start, *numbers)
        return out
    x = _clamped(x, bound)
    if isinstance(decay, Tensor):
        decay = decay.expand(x.shape[0], -1, -1)
    shared = not isinstance(decay, Tensor) or decay.numel() == decay.shape[0]
    if triton_filters.serves(x):
        return triton_filters.linear(x, decay, initial, gain, reverse)
    if not shared or x.shape[0] == 1 or (x.device.type == "cpu" and x[0].numel() > _NARROW):
        if not isinstance(decay, Tensor):
            decay = x.new_full((), decay).expand(x.shape[0], 1, 1)
        return _by_step(x, decay, initial, gain, reverse)
    if reverse:
        reversed_decay = decay.flip(0) if isinstance(decay, Tensor) else decay
        return _by_product(x.flip(0), reversed_decay, initial, gain).flip(0)
    return _by_product(x, decay, initial, gain)


def _fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, decay, initial, ctx.gain, ctx.reverse, ctx.bound, ctx.internal = inputs
    ctx.decay = None if isinstance(decay, Tensor) else decay
    drives = x if ctx.bound != math.inf and x.requires_grad else None
    varying = (decay, output) if isinstance(decay, Tensor) else (None, None)
    ctx.save_for_backward(initial, drives, *varying)


def _shift(values: Tensor, edge: Tensor, reverse: bool) -> Tensor:
    """``values`` one step later in scanning order, ``edge`` coming in at the start."""
    if reverse:
        return torch.cat([values[1:], edge.unsqueeze(0)])
    return torch.cat([edge.unsqueeze(0), values[:-1]])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # adjoint_t = grad_t + decay_{t+1} * adjoint_{t+1}: the same filter, backwards in time
    initial, x, decay, out = ctx.saved_tensors
    end = -1 if ctx.reverse else 0
    later = first = ctx.decay
    if decay is not None:
        first, later = decay[end], decay  # one for every step
        if len(decay) > 1:
            later = _shift(decay, torch.zeros_like(first), not ctx.reverse)
    of_x, of_decay, of_initial = ctx.needs_input_grad[:3]
    grad_x = grad_decay = grad_initial = None
    once = of_x and not of_decay and plain() and not torch.is_grad_enabled()
    if once and grad.numel() and computes(grad, later):
        grad_x, last = _compiled_gradient(ctx, grad, x, later)
    else:
        adjoint = linear_scan(grad, later, torch.zeros_like(grad[0]), reverse=not ctx.reverse)
        last = adjoint[end]
        if of_x:
            grad_x = adjoint if ctx.gain == 1.0 else adjoint * ctx.gain
            if x is not None:
                grad_x = torch.where(x.abs() <= ctx.bound, grad_x, 0.0)
        if of_decay:
            before = _shift(out, initial.expand_as(out[0]), ctx.reverse)
            grad_decay = (adjoint * before).sum_to_size(decay.shape)
    if of_initial:
        grad_initial = (first * last).sum_to_size(initial.shape)
    return grad_x, grad_decay, grad_initial, None, None, None, None


def _define(name: str, decay: str) -> Callable[..., Any]:
    numbers = "float gain, bool reverse, float bound, bool internal"
    schema = f"{name}(Tensor x, {decay} decay, Tensor initial, {numbers}) -> Tensor"
    op = register(schema, _kernel, _fake)
    return with_autograd(name, op, _kernel, _backward, _setup, linear_scan_definition)


_varying = _define("linear_scan", "Tensor")
_constant = _define("constant_linear_scan", "float")


def linear_scan(
    x: Tensor,
    decay: Tensor | float,
    initial: Tensor,
    *,
    gain: float = 1.0,
    bound: float = math.inf,
    reverse: bool = False,
    lengths: Tensor | None = None,
    internal: bool = False,
) -> Tensor:
    r"""Filters a sequence linearly along its first dimension.

    .. math:: v_t = \text{decay}_t \odot v_{t-1} + \text{gain}\; x_t, \qquad v_0 = \text{initial}

    With a constant decay this is the momentum of equation (9) of the MomentumRNN paper. With one of
    each channel and step it is the gated scan of minimal recurrent networks. The result
    is differentiable any number of times with respect to all three tensors. A NaN in the drive may
    reach a few steps before its own, within the piece of time that is filtered at once.

    Args:
        x: The drive, ``(T, B, N)``.
        decay: What is kept of the last value, ``(T or 1, B or 1, N or 1)``, or a number. One that
            is shared by the batch and all channels is filtered by matrix products where there are
            few.
        initial: The state before the first step, ``(B, N)``.
        gain: What the drive is scaled by.
        bound: The drive is clamped to plus or minus that, before the gain; at least 0.
        reverse: Runs from the last step to the first.
        lengths: How many steps of each sequence count, ``(B,)``: in the others the value stays.
        internal: Whether the caller lets go of the values soon: they then lie in memory that is
            used again, of a storage that cannot be resized.

    Returns:
        All the values, ``(T, B, N)``; the last one is the state to go on from.

    Raises:
        ValueError: The decay has another number of steps than the drive, or does not fit its batch
            or channels; the bound is negative or NaN.

    Example:
        >>> x = torch.ones(4, 1, 1)
        >>> linear_scan(x, 0.5, torch.zeros(1, 1)).flatten().tolist()
        [1.0, 1.5, 1.75, 1.875]
    """
    if not bound >= 0.0:
        raise ValueError(f"bound must be at least 0, got {bound}")
    if isinstance(decay, Tensor) and not torch.compiler.is_compiling():
        fits = decay.dim() == 3 and all(
            size in (1, own) for size, own in zip(decay.shape[1:], x.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"decay must be (T or 1, B or 1, N or 1) for a drive of {list(x.shape)}, got "
                f"{list(decay.shape)}"
            )
    if isinstance(decay, Tensor) and decay.shape[0] not in (1, x.shape[0]):
        raise ValueError(
            f"decay must have one entry, or one for each of the {x.shape[0]} steps, got "
            f"{decay.shape[0]}"
        )
    if lengths is not None:
        alive = steps_alive(x.shape[0], lengths.to(x.device))  # (T, B, 1)
        x, decay = x.masked_fill(~alive, 0.0), torch.where(alive, decay, 1.0)
    if to_onnx():
        return linear_scan_definition(x, decay, initial.to(x.dtype), gain, reverse, bound)
    function = _constant
    if isinstance(decay, Tensor):
        function, decay = _varying, decay.to(x.dtype)
    out: Tensor = function(x, decay, initial.to(x.dtype), gain, reverse, bound, internal)
    return out
