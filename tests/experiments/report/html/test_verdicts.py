"""Sentences of results made by hand, whose verdicts are known."""

import re
from pathlib import Path

import pytest

from tests.experiments.report.test_tables import _comparison, _results, _run
from tests.experiments.report.test_trials import searched
from torchmomentum.experiments.report import words
from torchmomentum.experiments.report.html.problems import problems
from torchmomentum.experiments.report.html.sentences import Verdict, kind_of, listed
from torchmomentum.experiments.report.html.verdicts import verdicts
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.table import Table
from torchmomentum.experiments.studies.run import load_results

RESULTS = Path(__file__).parents[4] / "results"
LEVELS = {"base": [0.5, 0.51, 0.52], "up": [0.7, 0.72, 0.71], "down": [0.3, 0.29, 0.33]}
LEVELS["same"] = [0.4, 0.6, 0.52]


def _four(**changes):
    runs = [_run(name, seed, [v[seed]]) for name, v in LEVELS.items() for seed in range(3)]
    return _results(runs, {"model": list(LEVELS)}, **changes)


def _told(results):
    return verdicts(results, table(results))


@pytest.mark.parametrize(("higher", "good", "bad"), [(True, "up", "down"), (False, "down", "up")])
def test_a_comparison_in_sentences(higher, good, bad):
    (group,) = _told(_four(higher_is_better=higher))
    assert group.title == "Against base"
    assert group.lead == (
        f"{good} is better than base. {bad} is worse than base. same is not separable from base."
    )
    found = {each.name: each for each in group.verdicts}
    assert list(found) == ["up", "down", "same"]
    assert {n: v.kind for n, v in found.items()} == {good: "good", bad: "bad", "same": "open"}
    # up - base is 0.20, 0.21, 0.19: mean 0.2, deviation 0.01, Student's 4.3027 over the root of 3
    assert found["up"].words == (
        "accuracy 0.7100 ± 0.0100 against 0.5100 ± 0.0100; difference +0.2000 [+0.1752, +0.2248], "
        "the 95 % interval over 3 pairs of seeds; p = 0.0025 after Holm's correction"
    )
    assert found["same"].words.endswith("correction; about 8,515 seeds would separate them")


def test_what_went_wrong_comes_first():
    results = _four()
    for run in results.runs:
        if run.arm["model"] == "down" and run.seed > 0:
            run.failed, run.values = "training diverged in epoch 2", {}
        if run.arm["model"] == "up" and run.seed == 1:
            run.warning = "training loss exploded"
    assert problems(results) == [
        "up (seed 1): training loss exploded.",
        "down: 2 of 3 runs failed (seeds 1, 2): training diverged in epoch 2.",
    ]
    down = next(each for each in _told(results)[0].verdicts if each.name == "down")
    assert down.said == "one seed diverged: 2 of 3"
    assert down.words.endswith("difference -0.2000, of one pair of seeds")


def test_no_run_came_to_its_end():
    results = _four()
    for run in results.runs:
        if run.arm["model"] == "up":
            run.failed, run.values = "training diverged", {}
    up = _told(results)[0].verdicts[0]
    assert (up.said, up.kind) == ("diverged: 3 of 3", "bad")
    assert up.words == "accuracy -; no pair of seeds came to its end"


def test_a_search_says_what_it_found_and_compares_nothing():
    results = searched(True)
    results.seeds, results.runs = [0], [run for run in results.runs if run.seed == 0]
    (group,) = _told(results)
    assert group.lead == "The best of 5 trials: mu 0.6."
    assert group.verdicts[0].words.startswith("validation accuracy 0.2000; test accuracy")
    assert not [each for each in problems(results) if "seed, so" in each]


def test_one_seed_tells_nothing():
    results = _results([_run(m, 0, [v[0]]) for m, v in LEVELS.items()], {"model": [*LEVELS]})
    assert problems(results) == ["There is one seed, so no difference can be told from chance."]
    assert {each.kind for each in _told(results)[0].verdicts} == {"open"}
    assert problems(_comparison()) == []


def test_the_verdicts_are_those_of_the_tables():
    """Recorded results of every table: what the page says is what its table says."""
    seen = set()
    for file in sorted(RESULTS.glob("*/results.json")):
        results = load_results(file)
        if results.table not in ("tuned", "beside", "convergence", "comparison", "costs", "grid"):
            continue
        seen.add(results.table)
        found = table(results)
        columns = [i for i, name in enumerate(found.head) if name == "verdict"]
        theirs = [row[i] for i in columns for row in found.rows if row[i]]
        if found.below is not None:
            at = found.below.head.index("verdict")
            theirs += [row[at] for row in found.below.rows]
        ours = [v.said for group in verdicts(results, found) for v in group.verdicts]
        if results.table in ("beside", "convergence", "costs", "grid"):
            theirs = [each.partition(":")[0] for each in theirs]
        assert sorted(ours) == sorted(theirs), file
        if found.below is not None:
            said = " ".join(v.words for v in verdicts(results, found)[-1].verdicts)
            at = found.below.head.index("weakest difference [95 % interval]")
            assert all(row[at] in said for row in found.below.rows)
    assert seen == {"tuned", "beside", "convergence", "comparison", "costs", "grid"}


@pytest.mark.parametrize(
    ("name", "lead", "words"),
    [
        ("figure7", r"\d of 2 published statements (is|are) reproduced here", "rank correlation "),
        ("findings-digits", r"13 arms are not separable from lstm\.", r"p = [\d.]+ after Holm"),
        (
            "findings-copying",
            r"\S+, \S+ and \S+ are better than lstm\. \d+ arms are not separable from lstm\.",
            r"p = [\d.]+ after Holm",
        ),
        ("slides-quadratic", "", "after 49,999 iterations; the theorem says geometric"),
        ("table16", "", "seeds that reached it"),
        ("cifar10", "srsgd-linear is .* from sgd", r"test error 0\.\d+ ± 0\.\d+ against 0"),
    ],
)
def test_recorded_results(name, lead, words):
    groups = _told(load_results(RESULTS / name))
    assert re.match(lead, groups[0].lead)
    assert any(re.search(words, each.words) for group in groups for each in group.verdicts)


def test_ratios_are_those_of_the_benchmark():
    results = load_results(RESULTS / "benchmarks" / "layers")
    found = {each.name: each.words for each in _told(results)[0].verdicts}
    ratios = sorted(run.values["LSTM"]["ratio"] for run in results.runs)
    span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    assert found["LSTM"] == (
        f"{span} times nn.LSTM, median {sum(ratios[2:4]) / 2:.2f} of {len(ratios)}"
    )


def test_a_table_of_ones_own_says_its_verdicts():
    results, own = _comparison(table="mine"), Table(["x", "verdict"], [["a", "worse"]], "")
    (group,) = verdicts(results, own)
    assert (group.lead, group.verdicts) == ("", [Verdict("a", "worse", "bad", "")])


def test_some_studies_ask_for_no_verdict():
    results, own = _comparison(table="mine"), Table(["x", "value"], [["a", "1"]], "")
    assert verdicts(results, own) == []


def test_words():
    assert kind_of("not reproduced (better): the contrary") == "bad"
    assert kind_of("not reproduced (better): not separable") == "open"
    assert kind_of("reproduced: better") == "good"
    assert listed(["a", "b"]) == "a and b"
    assert listed([]) == ""
    assert words.counted(0, "run") == "0 runs"
