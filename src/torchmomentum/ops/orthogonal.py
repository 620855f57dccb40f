r"""Maps from skew-symmetric to orthogonal matrices, and back to the nearest orthogonal one.

The exponential is made of matrix products alone. Autograd then takes two products for each of the
forward, where the gradient of ``torch.linalg.matrix_exp`` exponentiates a matrix of twice the size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchmomentum._torch_private import plain
from torchmomentum.ops._loop import to_onnx

# of the Taylor polynomial: its degree, the highest power that is kept, and the norm up to which it
# is exact to rounding
_PLANS = {torch.float32: (9, 3, 0.85), torch.float64: (16, 4, 0.82)}
_LARGEST_IN_ONNX = 200.0
_NEAR = 0.5  # in the Frobenius norm: from here on the iteration of Newton and Schulz converges


def skew(a: Tensor) -> Tensor:
    """The skew-symmetric matrix whose part above the diagonal is that of ``(n, n)``.

    Example:
        >>> skew(torch.tensor([[9.0, 1.0], [9.0, 9.0]])).tolist()
        [[0.0, 1.0], [-1.0, 0.0]]
    """
    above = a.triu(1)
    return above - above.mT


def _check(name: str, a: Tensor) -> None:
    if a.dtype not in _PLANS:
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}")
    if a.dim() != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {tuple(a.shape)}")


def skew_exp(a: Tensor) -> Tensor:
    r"""The matrix exponential of a skew-symmetric matrix, which is orthogonal.

    Scaling and squaring of a Taylor polynomial by the scheme of Paterson and Stockmeyer: 4 products
    for float32 and 6 for float64, and one for each squaring. It reads one number from the device,
    the norm. In graphs, transforms and on the meta device it is ``torch.linalg.matrix_exp``. ONNX
    has no such operator, so that there it is the polynomial with squarings for norms up to 200.

    Args:
        a: Skew-symmetric, ``(n, n)``, float32 or float64.

    Returns:
        :math:`\exp(A)`, ``(n, n)``.

    Raises:
        TypeError: It is of another type.
        ValueError: It is no square matrix.

    Example:
        >>> quarter = torch.tensor([[0.0, -torch.pi / 2], [torch.pi / 2, 0.0]])
        >>> skew_exp(quarter).round().abs().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    _check("a", a)
    exported = to_onnx()
    if not exported and (not plain() or a.is_meta):
        exponential: Tensor = torch.linalg.matrix_exp(a)
        return exponential
    degree, kept, largest = _PLANS[a.dtype]
    norm = _LARGEST_IN_ONNX
    if not exported:
        norm = a.detach().abs().sum(-1).amax().item() if a.numel() else 0.0
    squarings = math.ceil(math.log2(norm / largest)) if norm > largest else 0
    x = a * 2.0**-squarings
    powers = [torch.eye(len(a), dtype=a.dtype, device=a.device), x]
    while len(powers) <= kept:
        powers.append(powers[-1] @ x)
    out = _block(powers, degree // kept * kept, degree)
    for first in range(degree // kept * kept - kept, -1, -kept):
        out = torch.addmm(_block(powers, first, first + kept - 1), powers[kept], out)
    for _ in range(squarings):
        out = out @ out
    return out


def _block(powers: list[Tensor], first: int, last: int) -> Tensor:
    """The terms ``first`` to ``last`` of the series, divided by the power ``first``."""
    out = powers[0] / math.factorial(first)
    for k in range(first + 1, last + 1):
        out = out.add(powers[k - first], alpha=1 / math.factorial(k))
    return out


def cayley(a: Tensor) -> Tensor:
    r"""Cayley's map of a skew-symmetric matrix, :math:`(I + A/2)(I - A/2)^{-1}`: orthogonal too.

    It equals :math:`\exp(A)` up to the second order, and never has the eigenvalue -1.

    Args:
        a: Skew-symmetric, ``(n, n)``, float32 or float64.

    Raises:
        TypeError: It is of another type.
        ValueError: It is no square matrix.

    Example:
        >>> cayley(torch.tensor([[0.0, -2.0], [2.0, 0.0]])).tolist()
        [[0.0, -1.0], [1.0, 0.0]]
    """
    _check("a", a)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    found: Tensor = torch.linalg.solve(eye - a / 2, eye + a / 2)
    return found


MAPS: dict[str, Callable[[Tensor], Tensor]] = {"exp": skew_exp, "cayley": cayley}


class _AtZero(torch.autograd.Function):
    """A base times a map of zero: the base. Its derivatives are exact up to the second."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, a: Tensor) -> Tensor:
        ctx.save_for_backward(base, a)
        return base.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        base, a = ctx.saved_tensors
        found = base.T @ grad
        if torch.is_grad_enabled():  # the gradient is to be differentiated: a is zero, da is not
            found = found + (found @ a.T + a.T @ found) / 2
        return None, found


def moved(base: Tensor, a: Tensor, map: str = "exp") -> Tensor:
    r"""An orthogonal matrix moved along the manifold, :math:`B\,\phi(A)`.

    At :math:`A = 0`, where training is after every rebase, that is no product and its gradient one:
    both maps are :math:`I + A + A^2/2 + \dots`. This reads one more number from the device.

    Args:
        base: :math:`B`, orthogonal, ``(n, n)``, without a gradient.
        a: Skew-symmetric, ``(n, n)``, float32 or float64.
        map: A name of :data:`MAPS`.

    Raises:
        TypeError: ``a`` is of another type.
        ValueError: ``a`` is no square matrix.

    Example:
        >>> moved(torch.eye(2), torch.zeros(2, 2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    _check("a", a)
    if plain() and not a.is_meta and not a.any():
        found: Tensor = _AtZero.apply(base, a)
    else:
        found = base @ MAPS[map](a)
    return found


@torch.no_grad()
def nearest_orthogonal(a: Tensor) -> Tensor:
    """The orthogonal matrix that is nearest to ``(n, n)``: the orthogonal factor of its polar form.

    By two or three steps of Newton and Schulz where it is near, else by singular values.

    Raises:
        TypeError: It is neither float32 nor float64.
        ValueError: It is no square matrix.
    """
    _check("a", a)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    error = torch.linalg.matrix_norm(eye - a.T @ a).item()
    if not error < _NEAR:
        u, _, v = torch.linalg.svd(a)
        found: Tensor = u @ v
        return found
    while True:
        better = a + a @ (eye - a.T @ a) / 2
        last, error = error, torch.linalg.matrix_norm(eye - better.T @ better).item()
        if not error < last / 2:
            return better
        a = better
