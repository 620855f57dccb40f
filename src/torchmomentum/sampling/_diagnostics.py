"""Whether chains have mixed: effective sample sizes and R-hat, by ArviZ."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Diagnostics(NamedTuple):
    """Convergence diagnostics of each sampled quantity. All are NaN where it never changes.

    Attributes:
        ess_bulk: Effective sample size: how many independent draws would estimate the mean as well.
        ess_tail: The smaller effective sample size of the 5 % and the 95 % quantile.
        r_hat: The spread of all chains together over that within a chain: 1 for chains that have
            mixed, and below 1.01 by a rule of thumb. NaN for a single chain.
    """

    ess_bulk: Tensor
    ess_tail: Tensor
    r_hat: Tensor


def diagnose(chains: Tensor) -> Diagnostics:
    """Computes the rank-normalized diagnostics of Vehtari et al. (2021) with ArviZ.

    Args:
        chains: ``(chains, draws, ...)``, at least 4 draws: results of :func:`sample`, stacked.

    Returns:
        The diagnostics, each of shape ``(...)`` and float64. ArviZ counts every draw of a quantity
        that is the same in all draws of all chains as effective; here its diagnostics are NaN.

    Raises:
        ImportError: ``arviz-stats`` is not installed.
        ValueError: ``chains`` has fewer than two dimensions or fewer than 4 draws.

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
        from arviz_stats.base import array_stats  # type: ignore[attr-defined]
    except ImportError as error:
        raise ImportError("diagnose() needs ArviZ: pip install arviz-stats") from error

    drawn = chains.detach().to("cpu", torch.float64)
    drawn = drawn.reshape(*chains.shape[:2], -1)  # (chains, draws, quantities)
    changes = (drawn != drawn[:1, :1]).any(0).any(0)
    values = drawn[..., changes].numpy()
    found = torch.full((3, drawn.shape[-1]), math.nan, dtype=torch.float64)
    if changes.any():
        axes = {"chain_axis": 0, "draw_axis": 1}
        bulk = array_stats.ess(values, method="bulk", **axes)
        tail = array_stats.ess(values, method="tail", prob=(0.05, 0.95), **axes)
        found[0, changes], found[1, changes] = torch.as_tensor(bulk), torch.as_tensor(tail)
        if len(values) > 1:  # R-hat compares chains
            r_hat = array_stats.rhat(values, method="rank", **axes)
            found[2, changes] = torch.as_tensor(r_hat)
    return Diagnostics(*found.view(3, *chains.shape[2:]))
