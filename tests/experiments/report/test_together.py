"""Comparisons over several tasks, against numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from tests.experiments.report.test_tables import _results, _run
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.report.together import (
    aggregate,
    improvement,
    interquartile_mean,
    scores_of,
    together,
)


def _task(values, study="one", **changes):
    runs = [
        _run(model, seed, [value])
        for model, column in values.items()
        for seed, value in enumerate(column)
    ]
    return _results(runs, {"model": list(values)}, study=study, **changes)


def test_scores_go_from_the_worst_to_the_best_run_of_a_task():
    results = _task({"a": [0.2, 0.4], "b": [0.6, 0.5]})
    assert scores_of(results) == pytest.approx(np.array([[0.0, 0.5], [1.0, 0.75]]))
    lower = _task({"a": [0.2, 0.4], "b": [0.6, 0.5]}, higher_is_better=False)
    assert scores_of(lower) == pytest.approx(np.array([[1.0, 0.5], [0.0, 0.25]]))


def test_what_diverged_is_the_worst():
    results = _task({"a": [0.2, 0.4], "b": [0.6, 0.5]})
    results.runs[3].failed, results.runs[3].values = "training diverged", {}
    assert scores_of(results)[1, 1] == 0.0
    for run in results.runs:
        run.failed = "training diverged"
    assert (scores_of(results) == 0.0).all()


def test_the_middle_half():
    values = np.arange(16.0)[::-1]
    assert interquartile_mean(values) == np.mean(np.arange(4, 12))


def test_the_probability_of_improvement_counts_pairs():
    tasks = [np.array([[0.0, 0.5], [0.5, 1.0]]), np.array([[0.0, 1.0], [0.2, 0.2]])]
    # of 4 pairs: 3 better, one tie; and 2 better, 2 worse
    assert improvement(tasks) == pytest.approx([0.5, (3.5 / 4 + 2 / 4) / 2])


def test_the_interval_is_that_of_the_mean_where_all_are_in_the_middle():
    """Normal scores: the middle half's mean spreads a little more than the mean of all."""
    seeds = 40
    scores = np.zeros((2, seeds))
    scores[1] = stats.norm.ppf((np.arange(seeds) + 0.5) / seeds, 0.5, 0.1)
    (_, _, _), (mean, apart, chance) = aggregate([scores, scores])
    assert mean.low < mean.value < mean.high
    width = 2 * 1.96 * scores[1].std() / np.sqrt(2 * seeds)
    assert (mean.high - mean.low) / width == pytest.approx(1.19**0.5, abs=0.1)
    assert apart == pytest.approx(mean)  # the first is always 0
    assert chance == pytest.approx((1.0, 1.0, 1.0))


def test_seeds_are_drawn_within_tasks():
    """A task that is all 0 and one that is all 1 leave nothing to chance."""
    low, high = np.zeros((2, 8)), np.ones((2, 8))
    for mean, apart, _ in aggregate([low, high]):
        assert mean == pytest.approx((0.5, 0.5, 0.5))
        assert apart == pytest.approx((0.0, 0.0, 0.0))


def test_the_table():
    better = _task({"a": [0.1, 0.2, 0.15], "b": [0.9, 0.8, 0.85]})
    other = _task({"a": [0.3, 0.2, 0.25], "b": [0.6, 0.7, 0.65]}, "two")
    found = together([better, other])
    assert [row[0] for row in found.rows] == ["a", "b"]
    assert found.rows[0][2] == "baseline"
    assert found.rows[1][3:] == ["1.000 [1.000, 1.000]"]
    assert found.caption.startswith("Over one, two: ")


def test_arms_must_be_the_same():
    one = _task({"a": [0.1], "b": [0.9]})
    with pytest.raises(UsageError, match="two compares a, c, not as the first task"):
        together([one, _task({"a": [0.1], "c": [0.9]}, "two")])
    with pytest.raises(UsageError, match="several tasks are needed, got 1"):
        together([one])
    with pytest.raises(UsageError, match="digits: a lacks a seed"):
        together([_results(one.runs[:1] + _task({"b": [0.1, 0.2]}).runs[1:], one.axes), one])


def test_from_the_command_line(tmp_path, capsys):
    command = ["compare", "pdigits,digits", "--models", "lstm,gru", "--scale", "smoke", "--quiet"]
    assert main([*command, "--seeds", "2", "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "pdigits" / "results.json").exists()
    assert (tmp_path / "out" / "digits" / "results.json").exists()
    text = (tmp_path / "out" / "together.md").read_text()
    assert text.startswith("Over pdigits, digits: ")
    assert "| gru |" in text
    assert "together.md" in capsys.readouterr().out
