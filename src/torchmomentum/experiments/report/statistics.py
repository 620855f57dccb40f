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
        std: The standard deviation of the differences; None as ``p``.
    """

    mean: float
    low: float | None
    high: float | None
    separable: bool | None
    p: float | None = None
    std: float | None = None

    def verdict(self, higher_is_better: bool) -> str:
        """What may be concluded, in two words."""
        if self.separable is None:
            return "one seed" if self.low is None else "no spread"
        if not self.separable:
            return "not separable"
        return self.side(higher_is_better)

    def side(self, higher_is_better: bool) -> str:
        """Which way the mean points, whatever may be concluded from it."""
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
    return Difference(mean, low, high, low > 0 or high < 0, float(test.pvalue), std)


_MOST_SEEDS = 10_000
_POWER = 0.8


def seeds_needed(difference: Difference, level: float = 0.05) -> int | None:
    """How many seeds a paired test needs to find a true difference as large as the one seen.

    It is found with probability 0.8; the noise is taken to be as it was.

    Args:
        difference: Of some seeds.
        level: Of the test; divided by the number of tests where there are several.

    Returns:
        The number; None for more than 10,000, or where the pairs cannot tell.

    Example:
        >>> seeds_needed(Difference(0.5, None, None, False, 0.1, std=1.0))
        34
    """
    if difference.std is None:
        return None
    from scipy.stats import nct, t

    size = abs(difference.mean) / difference.std

    def power(seeds: int) -> float:
        critical, shift = t.ppf(1 - level / 2, seeds - 1), size * seeds**0.5
        return float(nct.sf(critical, seeds - 1, shift) + nct.cdf(-critical, seeds - 1, shift))

    many = 2
    while power(many) < _POWER:  # from below: scipy's distribution fails far out
        if many == _MOST_SEEDS:
            return None
        many = min(2 * many, _MOST_SEEDS)
    few = many // 2
    while few < many:
        middle = (few + many) // 2
        few, many = (few, middle) if power(middle) >= _POWER else (middle + 1, many)
    return few


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
