"""What is said of a comparison is what its numbers allow."""

import pytest

from tests.experiments.report.test_tables import _results, _run
from torchmomentum.experiments.report.comparison import comparison
from torchmomentum.experiments.report.judgement import conclusion, judged
from torchmomentum.experiments.report.statistics import holm, paired_difference, seeds_needed

NOISE = (0.0, 0.02, -0.02, 0.01)
SHIFT = (0.01, -0.01, 0.0, 0.0)


def _arms(**changes):
    runs = []
    for seed, noise in enumerate(NOISE):
        runs.append(_run("a", seed, [0.3, 0.5 + noise]))
        runs.append(_run("b", seed, [0.5, 0.7 + noise + SHIFT[seed]]))
        runs.append(_run("c", seed, [0.2, 0.51 + noise + 3 * SHIFT[seed]], seconds=4.0))
        runs.append(_run("d", seed, [0.1, 0.2 + noise]))
    return _results(runs, {"model": list("abcd")}, **changes)


def test_p_is_corrected_over_all_arms_and_the_verdict_is_by_it():
    found = judged(_arms())
    raw = [
        paired_difference([0.7 + s for s in SHIFT], [0.5] * 4).p,
        paired_difference([0.51 + 3 * s for s in SHIFT], [0.5] * 4).p,
    ]
    assert [each.verdict for each in found] == ["", "better", "not separable", "no spread"]
    assert [each.p for each in found[1:3]] == pytest.approx(holm(raw))
    assert found[3].p is None
    assert found[0].is_baseline
    needed = seeds_needed(paired_difference([0.51 + 3 * s for s in SHIFT], [0.5] * 4), 0.025)
    assert [each.needed for each in found] == [None, None, needed, None]


def test_lower_may_be_better():
    assert [e.verdict for e in judged(_arms(higher_is_better=False))][1] == "worse"


def test_holm_may_take_a_verdict_back():
    """p is 0.03 alone, 0.06 among two that are alike."""
    runs = []
    for seed, noise in enumerate((0.0, 0.05, -0.05, 0.02)):
        runs.append(_run("a", seed, [0.5]))
        runs += [_run(name, seed, [0.56 + noise]) for name in "bc"]
    both = judged(_results(runs, {"model": ["a", "b", "c"]}))
    one = judged(_results([r for r in runs if r.arm["model"] != "c"], {"model": ["a", "b"]}))
    assert both[1].p == pytest.approx(2 * one[1].p)


def test_the_sentences():
    results = _arms()
    results.runs[3].warning = "training loss exploded"
    said = conclusion(results, judged(results))
    needed = judged(results)[2].needed
    assert said.startswith("b is better than a: +0.2000 [")
    assert "p is corrected by Holm's method over 2 tests." in said
    assert f"4 seeds do not separate these from the baseline: c (about {needed} seeds)." in said
    assert "Nothing may be concluded of d: all seeds differ alike." in said
    assert said.endswith("d: loss exploded: 1 of 4.")
    assert comparison(results).conclusion == said


def test_one_seed_concludes_nothing():
    results = _results(
        [_run(m, 0, [v]) for m, v in (("a", 0.1), ("b", 0.9))], {"model": ["a", "b"]}
    )
    said = conclusion(results, judged(results))
    assert said == "Nothing may be concluded of b: a single seed has no spread."


def test_the_time_to_the_baselines_level():
    """a is at its best after 2 epochs, b is there after 1; each epoch takes 2 seconds, c's 4."""
    results = _arms()
    head, rows, *_ = comparison(results)
    at = head.index("to target")
    assert [row[at] for row in rows] == ["2, 1.00x", "1, 0.50x", "2, 2.00x", "-"]
