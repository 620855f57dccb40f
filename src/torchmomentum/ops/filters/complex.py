"""The linear filter with a constant complex decay for each channel, as two real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum._checks import Expected, check_tensors
from torchmomentum.ops._derivatives import functional_product
from torchmomentum.ops._loop import Tensors, along_time, to_onnx
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.cpu.library import available, call
from torchmomentum.ops.cpu.pool import new


def complex_scan_definition(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    initial: Tensor,
    reverse: bool,
    internal: bool = False,
) -> tuple[Tensor, Tensor]:
    """The filter in plain PyTorch, one step after the other. See :func:`complex_scan`."""
    a, b = decay.unbind(0)
    size = gain.shape[0]

    def step(carry: Tensors, at: Mapping[str, Tensor]) -> tuple[Tensors, Tensor]:
        re, im = carry[0].split(size, -1)
        turned = torch.cat([a * re - b * im, a * im + b * re], -1)
        v = turned + gain.repeat(2) * at["x"][..., : 2 * size]
        return (v,), v

    outputs, (last,) = along_time(step, (initial,), {"x": x}, reverse)
    return outputs, last


def _arranged(x: Tensor) -> tuple[Tensor, int]:
    """Drives whose rows follow each other, and how many floats lie between two."""
    time, batch, _ = x.shape
    width = x.stride(1)
    if x.stride(2) == 1 and (time == 1 or x.stride(0) == batch * width):
        return x, width
    return x.contiguous(), x.shape[2]


def complex_kernel_serves(x: Tensor) -> bool:
    """Whether the compiled kernel filters these drives: float32 on a CPU, not for ONNX."""
    return _compiled(x) and not to_onnx()


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and available()


def _numbers(x: Tensor, gain: Tensor, reverse: bool) -> tuple[int, ...]:
    return x.shape[0], x.shape[1], gain.shape[0], int(reverse), torch.get_num_threads()


def _forward(
    x: Tensor, decay: Tensor, gain: Tensor, initial: Tensor, reverse: bool, internal: bool
) -> tuple[Tensor, Tensor]:
    if not _compiled(x):
        with torch.no_grad():
            return complex_scan_definition(x, decay, gain, initial, reverse)
    out = new(x, (*x.shape[:2], 2 * gain.shape[0]), internal)
    if out.numel():
        drives, width = _arranged(x)
        filters = decay.contiguous(), gain.contiguous()
        start = initial.contiguous()
        call(
            "complex_filter_forward",
            *_numbers(x, gain, reverse),
            *(*filters, drives, width, out, start),
        )
    return out, out[0 if reverse else -1].clone()


def _backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[Any],
) -> list[Tensor]:
    x, decay, gain, initial = [t for t in tensors if t is not None]
    reverse, internal = map(bool, constants)
    if not _compiled(x):
        return functional_product(
            lambda *x: complex_scan_definition(*x, *constants), tensors, grads
        )
    out, (grad, grad_last), size = results[0], grads, gain.shape[0]
    # the gradient of what stands before the first step, from that of what stands after the last
    grad_initial = torch.zeros_like(initial) if grad_last is None else grad_last.clone()
    grad_initial, sums = grad_initial.contiguous(), x.new_zeros(3, size)
    grad = torch.zeros_like(out) if grad is None else grad.contiguous()
    grad_x = new(x, out.shape, internal)
    if not out.numel():
        return [grad_x, sums[:2], sums[2], grad_initial]
    drives, width = _arranged(x)
    filters = decay.contiguous(), gain.contiguous()
    call(
        "complex_filter_backward",
        *_numbers(x, gain, reverse),
        *(*filters, drives, width, out.contiguous(), initial.contiguous(), grad),
        *(grad_x, grad_initial, sums),
    )
    return [grad_x, sums[:2], sums[2], grad_initial]


def _fake(
    x: Tensor, decay: Tensor, gain: Tensor, initial: Tensor, reverse: bool, internal: bool
) -> tuple[Tensor, Tensor]:
    return x.new_empty(*x.shape[:2], 2 * gain.shape[0]), torch.empty_like(initial)


_complex_scan = define_recurrence(
    "complex_scan",
    arguments="Tensor x, Tensor decay, Tensor gain, Tensor initial",
    constants="bool reverse, bool internal",
    outputs=2,
    definition=complex_scan_definition,
    forward=_forward,
    backward=_backward,
    fake=_fake,
)


def complex_scan(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    initial: Tensor,
    *,
    reverse: bool = False,
    internal: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Filters a sequence of complex numbers along its first dimension.

    .. math:: v_t = \lambda \odot v_{t-1} + g \odot x_t, \qquad v_0 = \text{initial}

    Complex numbers are real parts followed by imaginary ones. This is the recurrence of the linear
    recurrent unit (Orvieto et al., 2023, equation 5). The result is differentiable any number of
    times.

    Args:
        x: The drive, ``(T, B, 2 N)``.
        decay: :math:`\lambda`, ``(2, N)``: real parts, imaginary parts.
        gain: :math:`g`, real, ``(N,)``.
        initial: The state before the first step, ``(B, 2 N)``.
        reverse: Runs from the last step to the first.
        internal: As in :func:`linear_scan`.

    Returns:
        All the values, ``(T, B, 2 N)``, and the last, ``(B, 2 N)``.

    Raises:
        ValueError: A tensor has another shape than expected, or there is no step.
        TypeError: A tensor is of another type than the drive.

    Example:
        >>> x = torch.tensor([1.0, 0.0]).expand(3, 1, 2)
        >>> quarter = torch.tensor([[0.0], [1.0]])  # times i
        >>> complex_scan(x, quarter, torch.ones(1), torch.zeros(1, 2))[0][:, 0].tolist()
        [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    """
    if x.dim() != 3:
        raise ValueError(f"x must be (T, B, 2 N), got shape {tuple(x.shape)}")
    time, batch, width = x.shape
    size = width // 2
    expected: list[Expected] = [
        ("x", x, (time, batch, 2 * size), None),
        ("decay", decay, (2, size), None),
        ("gain", gain, (size,), None),
        ("initial", initial, (batch, 2 * size), None),
    ]
    check_tensors(expected, x.dtype)
    if time == 0:
        raise ValueError("x must have at least one step, got 0")
    out, last = _complex_scan(x, decay, gain, initial, reverse, internal)
    return out, last
