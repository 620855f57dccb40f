"""What the contracts share: a list of named checks, and statements that name what fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Check = TypeVar("Check", bound=Callable[..., None])


class ContractError(AssertionError):
    """A check failed. The message names it."""


class Contract:
    """Named checks that run in the order in which they were entered."""

    def __init__(self) -> None:
        self.checks: dict[str, Callable[..., None]] = {}

    def check(self, function: Check) -> Check:
        """Enters a check under the function's name, without its underscore."""
        self.checks[function.__name__.removeprefix("_")] = function
        return function

    def run(self, subject: Any, skip: Sequence[str]) -> list[str]:
        """Runs all checks but those in ``skip`` and returns their names.

        Raises:
            ContractError: A check fails, or the subject raises an error.
            ValueError: ``skip`` names no check.
        """
        unknown = set(skip) - set(self.checks)
        if unknown:
            known = ", ".join(self.checks)
            raise ValueError(f"skip names unknown checks {sorted(unknown)}; known: {known}")
        names = [name for name in self.checks if name not in skip]
        for name in names:
            try:
                self.checks[name](subject)
            except ContractError as error:
                raise ContractError(f"{name}: {error}") from error
            except Exception as error:
                raise ContractError(f"{name}: {type(error).__name__}: {error}") from error
        return names


def require(condition: bool, message: str) -> None:
    """Fails with a message unless a condition holds."""
    if not condition:
        raise ContractError(message)


def require_close(found: Any, expected: Any, message: str, tolerance: float = 1e-10) -> None:
    """Fails unless tensors, or nested sequences of them, agree in shape, type and value."""
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        require(a.shape == b.shape, f"{message}: shape {list(b.shape)}, got {list(a.shape)}")
        require(a.dtype == b.dtype, f"{message}: expected {b.dtype}, got {a.dtype}")
        worst = (a - b).abs().max().item() if a.numel() else 0.0
        require(worst <= tolerance, f"{message}: differs by {worst:.3g}")


def require_error(action: Callable[[], object], message: str) -> None:
    """Fails unless an action raises one of the errors that wrong arguments raise."""
    try:
        action()
    except (RuntimeError, TypeError, ValueError, IndexError):
        return
    raise ContractError(f"{message}: no error was raised")


def tensors(value: Any) -> list[Tensor]:
    """The tensors of nested sequences, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in tensors(part)]


def draw(*shape: int) -> Tensor:
    """The same normal numbers each time, float64."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
