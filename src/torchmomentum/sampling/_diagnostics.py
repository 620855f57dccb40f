"""How far chains have mixed: ArviZ's effective sample size and R-hat."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Diagnostics(NamedTuple):
    """What chains are worth, for each quantity that they follow.

    Attributes:
        ess_bulk: Independent samples that would give a mean as good.
        ess_tail: The same for the 5 % and the 95 % quantile.
        r_hat: How much wider the chains are together than each alone: 1 when they have mixed, and
            by a rule of thumb below 1.01. NaN for a single chain.
    """

    ess_bulk: Tensor
    ess_tail: Tensor
    r_hat: Tensor


def diagnose(chains: Tensor) -> Diagnostics:
    """Judges chains by the rank-normalized diagnostics of Vehtari et al. (2021), by ArviZ.

    Args:
        chains: ``(chains, draws, ...)``, of at least 4 draws: what :func:`sample` makes, stacked.

    Returns:
        Each of shape ``(...)``, float64.

    Raises:
        ImportError: ``arviz-stats`` is not installed.
        ValueError: Fewer dimensions or draws.

    Example:
        >>> chains = torch.randn(4, 500, 2, generator=torch.Generator().manual_seed(0))
        >>> bool((diagnose(chains).r_hat < 1.02).all())
        True
    """
    if chains.dim() < 2 or chains.shape[1] < 4:
        raise ValueError(
            f"chains must be (chains, draws, ...) with at least 4 draws, got {list(chains.shape)}"
        )
    try:
        import numpy as np
        from arviz_stats.base import array_stats  # type: ignore[attr-defined]
    except ImportError as error:
        raise ImportError("diagnose() needs ArviZ: pip install arviz-stats") from error

    drawn = chains.detach().to("cpu", torch.float64)
    values = drawn.reshape(*chains.shape[:2], -1).numpy()
    axes = {"chain_axis": 0, "draw_axis": 1}
    found = (
        array_stats.ess(values, method="bulk", **axes),
        array_stats.ess(values, method="tail", prob=(0.05, 0.95), **axes),
        # of one chain there is none to compare with
        np.full(values.shape[2:], np.nan)
        if len(values) == 1
        else array_stats.rhat(values, method="rank", **axes),
    )
    return Diagnostics(*(torch.as_tensor(x).reshape(chains.shape[2:]) for x in found))
