"""Checks of arguments, with the messages that a caller reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

import torch
from torch import Tensor

# a name, the tensor if there is one, its shape, and its type where it is not the default
Expected: TypeAlias = "tuple[str, Tensor | None, tuple[int, ...], torch.dtype | None]"


def check_tensors(expected: Iterable[Expected], default: torch.dtype) -> None:
    """Checks shapes and types.

    Args:
        expected: For each tensor its name, the tensor or None, its shape, and its type or None.
        default: The type where none is given.

    Raises:
        ValueError: A tensor has another shape.
        TypeError: A tensor has another type.
    """
    for name, tensor, shape, dtype in expected:
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {tuple(tensor.shape)}")
        if tensor.dtype != (dtype or default):
            raise TypeError(f"{name} must be {dtype or default}, got {tensor.dtype}")


def check_number(
    name: str, value: object, low: float, high: float, *, open_low: bool = False
) -> float:
    """Checks that a number lies in ``[low, high)``, or in ``(low, high)`` with ``open_low``.

    Returns:
        The number as a float.

    Raises:
        TypeError: It is not a number.
        ValueError: It is out of its range, or NaN.

    Example:
        >>> check_number("mu", 1.5, 0.0, 1.0)
        Traceback (most recent call last):
        ...
        ValueError: mu must be in [0, 1), got 1.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (low < value < high if open_low else low <= value < high):
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} must be in {bracket}{low:g}, {high:g}), got {value}")
    return float(value)


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Checks that a value is one of several names.

    Raises:
        ValueError: It is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
