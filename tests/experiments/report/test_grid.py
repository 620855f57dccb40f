"""Tables and maps of a measure over two hyperparameters, of gradients and of costs, by hand."""

import pytest

from tests.experiments.report.test_tables import _results
from torchmomentum.experiments.report.accuracy import time_to_accuracy
from torchmomentum.experiments.report.costs import costs
from torchmomentum.experiments.report.gradients import gradients, heat
from torchmomentum.experiments.report.grid import grid, maps
from torchmomentum.experiments.result import Result


def _cell(mu, step, value, model="m", seed=0, failed=None):
    arm = {"task": "mnist", "N": 8, "model": model, "mu": mu, "step_size": step}
    values = {} if failed else {"best": value}
    return Result(recipe={}, values=values, arm=arm, seed=seed, failed=failed)


def _grid(runs):
    axes = {"task": ["mnist"], "N": [8], "model": ["m", "m@learnable=true"]}
    view = {
        "grid": ["mu", "step_size"],
        "value": {"mnist": "best"},
        "unit": {"mnist": 100},
        "published": {"mnist": [[90.0, 80.0], [70.0, 60.0]]},
        "axes": {"mu": [0.6, 0.0], "step_size": [0.1, 1.0]},
    }
    return _results(runs, {**axes, "mu": [0.6, 0.0], "step_size": [0.1, 1.0]}, view=view)


def test_the_grid_is_laid_out_as_published():
    runs = [_cell(0.6, 0.1, 0.9), _cell(0.6, 1.0, 0.8), _cell(0.0, 0.1, 0.7), _cell(0.0, 1.0, 0.65)]
    runs.append(_cell(0.6, 1.0, 0.5, model="m@learnable=true"))
    found = grid(_grid(runs))
    assert found.head == ["task", "mu", "step_size = 0.1", "step_size = 1", "verdict"]
    assert found.rows[0] == ["mnist", "0.6", "90.00 (90)", "80.00 (80)", ""]
    assert found.rows[1][:4] == ["mnist", "0", "70.00 (70)", "65.00 (60)"]
    assert found.rows[1][4].startswith("reproduced: rank correlation +1.00")
    assert found.rows[2] == ["mnist", "0.6, learned from there", "", "50.00", ""]


def test_another_order_is_not_reproduced_and_what_failed_is_left_out(tmp_path):
    runs = [_cell(0.6, 0.1, 0.1), _cell(0.6, 1.0, 0.8), _cell(0.0, 0.1, 0.9)]
    runs.append(_cell(0.0, 1.0, 0.0, failed="diverged"))
    results = _grid(runs)
    found = grid(results)
    assert found.rows[1][:4] == ["mnist", "0", "90.00 (70)", "- (60)"]
    assert found.rows[1][4].startswith("not reproduced: rank correlation -1.00")
    assert maps(results, tmp_path) == ["grid"]
    assert grid(_grid(runs[:1])).rows[0][-1] == "not comparable: too few values"


def test_gradients_in_numbers(tmp_path):
    values = {"state_first": 0.5, "state_last": 0.25, "input_first": 2.0, "input_last": 4.0}
    curves = {"iteration": [0, 5], "state": [[1.0, 2.0], [1.0, 4.0]], "input": [[0.0, 0.0]] * 2}
    run = Result(recipe={}, values={**values, "best": 0.9}, curves=curves, arm={"model": "rnn"})
    results = _results([run], {"model": ["rnn"]}, view={})
    expected = ["rnn", "5.0e-01", "2.5e-01", "2.0e+00", "4.0e+00", "90.00"]
    assert gradients(results).rows == [expected]
    assert heat(results, tmp_path) == ["gradients"]


def test_costs_stand_beside_the_published():
    ours = {
        "nn.LSTM": {"training time": {"us": 10.0, "ratio": 1.0}},
        "LookaheadSRLSTM": {"training time": {"us": 5.0, "ratio": 0.5}},
    }
    view = {
        "columns": ["training time"],
        "ratio": "training time",
        "unit": "us",
        "published": {"LSTM": [6.18], "SRLSTM": [8.34]},
    }
    run = Result(recipe={"device": "cpu"}, values=ours, arm={"item": "1, 2, 3, 4"})
    found = costs(_results([run], {"item": ["1, 2, 3, 4"]}, view=view))
    assert found.rows == [
        ["nn.LSTM", "6.18", "10.00", "1.00", "1.00", ""],
        [
            *("LookaheadSRLSTM", "8.34", "5.00", "1.35", "0.50"),
            "not comparable: nn.LSTM is another implementation",
        ],
    ]
    assert "measured on a CPU" in found.caption


@pytest.mark.parametrize(
    ("ratio", "quartiles", "verdict"),
    [
        (1.3, (1.2, 1.4), "reproduced: more"),
        (1.3, (0.7, 1.4), "not reproduced (more): not separable"),
        (0.81, None, "not reproduced (more): as much"),
        (0.7, (0.6, 0.75), "not reproduced (more): the contrary"),
        (0.9, (0.85, 0.95), "reproduced: more"),  # than our LSTM, if not than nn.LSTM
    ],
)
def test_the_verdict_on_a_cost(ratio, quartiles, verdict):
    ours = {"us": 5.0, "ratio": ratio} | ({"ratio_quartiles": quartiles} if quartiles else {})
    own = {"us": 4.0, "ratio": 0.8}
    values = {"nn.LSTM": {"t": {"us": 5.0, "ratio": 1.0}}, "LSTM": {"t": own}}
    values["MomentumLSTM"] = {"t": ours}
    published = {"LSTM": [6.0], "MomentumLSTM": [7.0]}
    view = {"columns": ["t"], "ratio": "t", "unit": "us", "published": published}
    run = Result(recipe={"device": "cpu"}, values=values, arm={"item": "1, 2, 3, 4"})
    found = costs(_results([run], {"item": ["1, 2, 3, 4"]}, view=view))
    assert [row[-1] for row in found.rows] == ["", "", verdict]


@pytest.mark.parametrize(("reach", "expected"), [(0.9, ["2", "4.0", "1.00"]), (0.1, ["-"] * 3)])
def test_published_minutes_stand_beside_the_time_to_accuracy(reach, expected):
    def run(model, metrics):
        curves = {"test_metric": metrics, "epoch": [1, 2], "train_seconds": [2.0, 4.0]}
        return Result(recipe={}, values={}, curves=curves, arm={"model": model})

    runs = [run("lstm", [0.5, 0.9]), run("adam-lstm", [0.2, reach])]
    view = {"minutes": {"lstm": 767, "adam-lstm": 225}}
    found = time_to_accuracy(_results(runs, {"model": ["lstm", "adam-lstm"]}, view=view))
    assert found.head[-2:] == ["minutes, published", "ratio, published"]
    assert found.rows[1][2:] == [*expected, "225", "0.29"]
