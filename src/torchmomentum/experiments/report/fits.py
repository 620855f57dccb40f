"""Rates fitted to curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fitted_slope(k: Array, gaps: Array) -> float:
    """The slope of log gap on log k: -1 where the gap falls like 1/k."""
    slope: float = np.polyfit(np.log(k), np.log(np.maximum(gaps, 1e-300)), 1)[0]
    return slope


def fitted_factor(k: Array, gaps: Array) -> float:
    """The factor from iteration to iteration: geometric where well below 1."""
    return float(np.exp(np.polyfit(k, np.log(np.maximum(gaps, 1e-300)), 1)[0]))
