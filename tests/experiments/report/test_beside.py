"""Verdicts, and the tables that hold them, of results made by hand."""

import pytest

from tests.experiments.report.test_tables import _results
from torchmomentum.experiments.report.beside import beside, verdict
from torchmomentum.experiments.report.convergence import convergence
from torchmomentum.experiments.report.statistics import paired_difference
from torchmomentum.experiments.result import Result

UP, LEVEL, DOWN = [2.0, 2.1, 1.9], [1.0, -1.0, 0.5], [-2.0, -2.1, -1.9]


@pytest.mark.parametrize(
    ("measured", "claimed", "higher", "expected"),
    [
        (UP, 0.3, True, "reproduced: better"),
        (UP, -0.3, True, "not reproduced (worse): the contrary"),
        (UP, -0.3, False, "not reproduced (better): the contrary"),
        (UP, 0.3, False, "reproduced: worse"),
        (DOWN, -0.3, False, "reproduced: better"),
        (LEVEL, 0.3, True, "not reproduced (better): not separable"),
        ([1.0], 0.3, True, "not comparable: one seed"),
        (UP, None, True, ""),
    ],
)
def test_verdicts(measured, claimed, higher, expected):
    found = paired_difference(measured, [0.0] * len(measured))
    assert verdict(found, claimed, higher) == expected


def test_no_verdict_without_a_pair():
    assert verdict(None, 0.3, True) == "not comparable: no pair ended"


def _run(model, seed, best, *, failed=None, losses=(3.0, 1.0)):
    return Result(
        recipe={"epochs": 2},
        values={} if failed else {"best": best, "chosen_validation": None, "chosen": best},
        curves={"epoch": [1, 2], "train_loss": list(losses), "test_loss": [4.0, 2.0 * best]},
        costs={"parameters": 1234},
        failed=failed,
        arm={"task": "mnist", "N": 128, "model": model},
        seed=seed,
    )


AXES = {"task": ["mnist"], "N": [128], "model": ["lstm", "sr-lstm", "adam-lstm"]}


def _view(runs, **changes):
    arms = [{"task": "mnist", "N": 128, "model": model} for model in AXES["model"]]
    column = {"title": "accuracy, %", "value": "best", "unit": 100, "digits": 1, "from": "X"}
    values = [{"X": [98.0, None]}, {"X": [99.0, 0.5]}, {}]
    view = {
        "baseline": ["model"],
        "columns": [column],
        "published": [list(pair) for pair in zip(arms, values, strict=True)],
        "note": "10 images",
        "faster": {"mnist": ["sr-lstm"]},
    }
    return _results(runs, AXES, view={**view, **changes})


def test_published_and_measured_stand_side_by_side():
    runs = [_run("lstm", s, b) for s, b in enumerate((0.90, 0.91, 0.92))]
    runs += [_run("sr-lstm", s, b) for s, b in enumerate((0.95, 0.96, 0.98))]
    runs += [_run("adam-lstm", 0, 0.5), _run("adam-lstm", 1, 0, failed="diverged")]
    found = beside(_view(runs))
    assert found.head[3:] == [
        "parameters",
        "accuracy, %, published",
        "accuracy, %, measured",
        "published difference",
        "difference [95 % interval]",
        "verdict",
    ]
    first, second, third = (row[3:] for row in found.rows)
    assert first == ["1,234", "98.00", "91.0 ± 1.0", "", "baseline", ""]
    # differences 5, 5 and 6 points: 5.333 and 4.303 standard errors of a third
    assert second[1:] == [
        "99.00 ± 0.50",
        "96.3 ± 1.5",
        "+1.00",
        "+5.3 [+3.9, +6.8]",
        "reproduced: better",
    ]
    assert third[1:3] == ["-", "50.0"]
    assert third[-1] == "(diverged: 1 of 2)"
    assert "whose values are not the paper's: 10 images." in found.caption


def test_convergence_is_the_mean_of_the_training_loss():
    runs = [_run("lstm", s, 0.5, losses=(4.0, 2.0 + s)) for s in range(3)]
    runs += [_run("sr-lstm", s, 0.5, losses=(2.0, 1.0 + s / 2)) for s in range(3)]
    found = convergence(_view(runs))
    lstm, restarted = (row[3:] for row in found.rows)
    assert lstm == ["3.5000 ± 0.5000", "3.0000 ± 1.0000", "1.0000 ± 0.0000", "baseline", "", ""]
    # means 1.5, 1.75 and 2 against 3, 3.5 and 4
    assert restarted[0] == "1.7500 ± 0.2500"
    assert restarted[3] == "-1.7500 [-2.3710, -1.1290]"
    assert restarted[4:] == ["faster", "reproduced: faster"]
    slower = convergence(_view([*runs[3:], *runs[:3]], faster={}))
    assert slower.rows[0][-1] == ""
