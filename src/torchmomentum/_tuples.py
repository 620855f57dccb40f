"""Named tuples with other values, in a form that ``torch.compile`` follows."""

from __future__ import annotations

from typing import Any, TypeVar

Bundle = TypeVar("Bundle", bound="tuple[Any, ...]")


def changed(bundle: Bundle, **changes: Any) -> Bundle:
    """``bundle._replace(**changes)``, which ``torch.compile`` cannot follow before torch 2.9."""
    kind: Any = type(bundle)
    values = [changes.get(name, x) for name, x in zip(kind._fields, bundle, strict=True)]
    made: Bundle = kind(*values)
    return made
