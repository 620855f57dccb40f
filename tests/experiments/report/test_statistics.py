import numpy as np
import pytest
from scipy import stats

from torchmomentum.experiments.report.statistics import (
    Difference,
    mean_and_std,
    paired_difference,
    seeds_needed,
)


def test_the_interval_is_students():
    values, baseline = [0.85, 0.83, 0.88, 0.86], [0.71, 0.74, 0.70, 0.69]
    found = paired_difference(values, baseline)
    expected = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(np.subtract(values, baseline)))
    assert found.separable


def test_what_may_be_chance_is_not_separable():
    assert not paired_difference([0.8, 0.6, 0.7], [0.7, 0.7, 0.6]).separable
    assert paired_difference([0.1, 0.12, 0.11], [0.5, 0.52, 0.5]).separable


def test_equal_differences_tell_nothing():
    assert paired_difference([0.75, 0.5], [0.5, 0.25]).separable is None


def test_one_seed_has_no_interval():
    found = paired_difference([0.8], [0.7])
    assert (found.low, found.high, found.separable) == (None, None, None)
    assert mean_and_std([0.8]) == (0.8, None)
    with pytest.raises(ValueError, match="nothing to compare"):
        paired_difference([], [])


def test_differences_that_are_equal_but_for_rounding_have_no_spread():
    found = paired_difference([0.9, 0.8], [0.8, 0.7])
    assert found.separable is None
    assert found.verdict(True) == "no spread"


def _of_size(size):
    return Difference(size, None, None, False, 0.5, std=1.0)


@pytest.mark.parametrize(("size", "seeds"), [(0.2, 199), (-0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_seeds_needed_are_those_of_the_tables_of_power(size, seeds):
    """Cohen's sizes of a paired t test, two-sided at 5 %, power 0.8."""
    assert seeds_needed(_of_size(size)) == seeds


def test_the_seeds_needed_find_the_difference_four_times_in_five():
    seeds = seeds_needed(_of_size(0.7), level=0.05 / 3)
    draws = np.random.default_rng(0).normal(0.7, 1.0, (20_000, seeds))
    found = stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05 / 3
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def test_up_to_ten_thousand_seeds_are_told():
    assert seeds_needed(_of_size(0.029)) == 9335
    assert seeds_needed(_of_size(0.0279)) is None


def test_where_no_number_of_seeds_would_do_there_is_none():
    assert seeds_needed(_of_size(1e-4)) is None
    assert seeds_needed(Difference(0.1, None, None, None)) is None
