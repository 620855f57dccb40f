"""Chains as ArviZ takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def to_arviz(chains: Mapping[str, Tensor]) -> Any:
    """Chains in ArviZ's form, for its plots, summaries and comparisons.

    Args:
        chains: Each quantity by its name, ``(chains, draws, ...)``.

    Returns:
        What ``arviz_base.from_dict`` makes of them: a data tree with the group ``posterior``, which
        was called InferenceData before ArviZ 1.0.

    Raises:
        ImportError: ``arviz-base`` is not installed.
        ValueError: A quantity has fewer than two dimensions.

    Example:
        >>> tree = to_arviz({"x": torch.randn(4, 500, 2)})
        >>> tree.posterior["x"].shape
        (4, 500, 2)
    """
    for name, values in chains.items():
        if values.dim() < 2:
            raise ValueError(f"{name} must be (chains, draws, ...), got {list(values.shape)}")
    try:
        from arviz_base import from_dict
    except ImportError as error:
        raise ImportError("to_arviz() needs ArviZ: pip install arviz-base") from error
    posterior = {name: values.detach().cpu().numpy() for name, values in chains.items()}
    return from_dict({"posterior": posterior})
