"""Tuples with other values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

Bundle = TypeVar("Bundle", bound="tuple[Any, ...]")


def changed(bundle: Bundle, **changes: Any) -> Bundle:
    """``bundle._replace(**changes)``, which ``torch.compile`` cannot follow before torch 2.9."""
    kind: Any = type(bundle)
    values = [changes.get(name, x) for name, x in zip(kind._fields, bundle, strict=True)]
    made: Bundle = kind(*values)
    return made


def each_tensor(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """A value with each of its tensors changed, in plain tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        kind = list if isinstance(value, list) else tuple
        return kind([each_tensor(v, change) for v in value])
    if isinstance(value, dict):
        return {key: each_tensor(v, change) for key, v in value.items()}
    return value
