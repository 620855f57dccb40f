"""Means, spreads and paired differences over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; the latter None for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences with its 95 % interval.

    Attributes:
        mean: Of value minus baseline, over seeds.
        low: Lower end of the interval; None for a single pair.
        high: Upper end.
        separable: Whether the interval leaves zero out; None where the pairs cannot tell, a single
            one or all alike.
        p: Student's p value, for a difference of zero; None where the pairs cannot tell.
    """

    mean: float
    low: float | None
    high: float | None
    separable: bool | None
    p: float | None = None

    def verdict(self, higher_is_better: bool) -> str:
        """What may be concluded, in two words."""
        if self.separable is None:
            return "one seed" if self.low is None else "no spread"
        if not self.separable:
            return "not separable"
        return "better" if (self.mean > 0) == higher_is_better else "worse"


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """Student's interval for the mean of ``values - baseline``, paired by seed.

    Raises:
        ValueError: Nothing to compare, or of different numbers.

    Example:
        >>> difference = paired_difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
        >>> round(difference.low, 3), round(difference.high, 3), difference.separable
        (-0.484, 4.484, False)
    """
    differences = [a - b for a, b in zip(values, baseline, strict=True)]
    if not differences:
        raise ValueError("there is nothing to compare")
    mean, std = mean_and_std(differences)
    if std is None:
        return Difference(mean, None, None, None)
    # equal differences (two seeds, coarse accuracies) would give an interval of no width
    if std <= 1e-12 * max(map(abs, (*values, *baseline))):
        return Difference(mean, mean, mean, None)
    from scipy.stats import ttest_rel

    test = ttest_rel(values, baseline)
    interval = test.confidence_interval(0.95)
    low, high = float(interval.low), float(interval.high)
    return Difference(mean, low, high, low > 0 or high < 0, float(test.pvalue))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of p values of several comparisons (Holm 1979), in their order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = least
    return adjusted
