"""Checks of arguments, with the messages that a caller reads."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable
from numbers import Real
from typing import Any, TypeAlias

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
    name: str,
    value: object,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    closed_high: bool = False,
) -> float:
    """Checks that a number lies in ``[low, high)``.

    Args:
        name: What it is called.
        value: The number.
        low: The lower end of the range.
        high: The upper one.
        open_low: Whether the lower end is outside of the range.
        closed_high: Whether the upper end is in the range.

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
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    number = float(value)
    above = low < number if open_low else low <= number
    below = number <= high if closed_high else number < high
    if not (above and below):
        left, right = "(" if open_low else "[", "]" if closed_high else ")"
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, got {value}")
    return number


def check_integer(
    name: str, value: Any, least: float, unit: str = "", *, optional: bool = False
) -> Any:
    """Checks that a value is an integer of at least so much. With ``optional`` it may be None.

    Returns:
        The value, NumPy's integers as Python's.

    Raises:
        TypeError: It is no integer.
        ValueError: It is too small.

    Example:
        >>> check_integer("restart", 0, 1, "step")
        Traceback (most recent call last):
        ...
        ValueError: restart must be at least 1 step, got 0
    """
    if optional and value is None:
        return None
    try:
        if isinstance(value, (bool, Tensor)):
            raise TypeError
        number = value if isinstance(value, torch.SymInt) else operator.index(value)
    except TypeError:
        expected = "an int or None" if optional else "an int"
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {f'{least} {unit}'.rstrip()}, got {value}")
    return number


def check_bool(name: str, value: object) -> None:
    """Checks that a value is True or False.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Checks that a value is one of several names.

    Raises:
        ValueError: It is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
