"""Verdicts, and the tables that hold them, of results made by hand."""

import pytest

from tests.experiments.report.test_tables import _results
from torchmomentum.experiments.published import momentumrnn
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
    column = {"title": "accuracy, %", "value": "best", "unit": 100, "digits": 1, "from": "X"}
    view = {
        "baseline": ["model"],
        "columns": [column],
        "note": "10 images",
    }
    return _results(runs, AXES, view={**view, **changes})


def test_published_and_measured_stand_side_by_side(monkeypatch):
    values = {("mnist", 128, "lstm"): (98.0, None), ("mnist", 128, "sr-lstm"): (99.0, 0.5)}
    monkeypatch.setattr(momentumrnn, "X", values, raising=False)
    monkeypatch.setattr(momentumrnn, "CITED", {"X": {("mnist", 128, "lstm"): 97.5}})
    runs = [_run("lstm", s, b) for s, b in enumerate((0.90, 0.91, 0.92))]
    runs += [_run("sr-lstm", s, b) for s, b in enumerate((0.95, 0.96, 0.98))]
    runs += [_run("adam-lstm", 0, 0.5), _run("adam-lstm", 1, 0, failed="diverged")]
    found = beside(_view(runs))
    assert found.head[3:] == [
        "parameters, published",
        "parameters",
        "accuracy, %, published",
        "accuracy, %, measured",
        "published difference",
        "difference [95 % interval]",
        "verdict",
    ]
    first, second, third = (row[3:] for row in found.rows)
    about = "about 68,000"
    assert first == [about, "1,234", "98.00 (cited; also 97.50)", "91.0 ± 1.0", "", "baseline", ""]
    assert [row[3] for row in found.rows] == [about, about, ""]  # of what is published
    # differences 5, 5 and 6 points: 5.333 and 4.303 standard errors of a third
    assert second[2:] == [
        "99.00 ± 0.50",
        "96.3 ± 1.5",
        "+1.00",
        "+5.3 [+3.9, +6.8]",
        "reproduced: better",
    ]
    assert third[2:4] == ["-", "50.0"]
    assert third[-1] == "(diverged: 1 of 2)"
    assert "whose values are not the paper's: 10 images." in found.caption


def test_convergence_is_the_mean_of_the_training_loss():
    runs = [_run("lstm", s, 0.5, losses=(4.0, 2.0 + s)) for s in range(3)]
    runs += [_run("sr-lstm", s, 0.5, losses=(2.0, 1.0 + s / 2)) for s in range(3)]
    found = convergence(_view(runs))
    lstm, restarted = (row[3:] for row in found.rows)
    assert lstm == ["3.5000 ± 0.5000", "3.0000 ± 1.0000", "1.0000 ± 0.0000", "baseline"]
    # means 1.5, 1.75 and 2 against 3, 3.5 and 4
    assert restarted[0] == "1.7500 ± 0.2500"
    assert restarted[3] == "-1.7500 [-2.3710, -1.1290]"


def test_last_losses_stand_beside_those_that_the_paper_tells():
    runs = [_run(model, s, 0.5) for model in ("lstm", "momentum-lstm", "sr-lstm") for s in (0, 1)]
    for run in runs:
        run.arm = {"task": "copying", "length": 2000, "N": 190, "model": run.arm["model"]}
    axes = {"task": ["copying"], "length": [2000], "N": [190], "model": ["lstm"]}
    found = convergence(_results(runs, axes, view={"baseline": ["model"]}))
    at = found.head.index("training loss, last, published")
    assert [row[at] for row in found.rows] == ["0.01", "0.009", ""]
