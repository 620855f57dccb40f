"""Every private name of PyTorch's that this package uses, with what breaks without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def constant_in_graphs(function: F) -> F:
    """Has ``torch.compile`` call a function once and keep its result.

    What ``torch.compiler.assume_constant_result`` does, whose first call imports the compiler and
    takes a second. Without it the questions for compiled kernels break graphs. Since 2.0.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
