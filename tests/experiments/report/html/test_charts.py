"""What the charts draw is what the results hold."""

import json
import math
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from tests.experiments.report.test_tables import _results, _run
from torchmomentum.experiments.report.grid import maps_of
from torchmomentum.experiments.report.html.charts import charts
from torchmomentum.experiments.report.html.differences import differences
from torchmomentum.experiments.report.html.provenance import provenance
from torchmomentum.experiments.report.html.verdicts import verdicts
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.result import Result, ended
from torchmomentum.experiments.studies.run import load_results

RESULTS = Path(__file__).parents[4] / "results"
TRAINED = [file.parent.name for file in sorted(RESULTS.glob("*/results.json"))]


def _traces(chart):
    return {trace["name"]: trace for trace in chart.figure["data"] if trace["line"]["width"] > 1}


def _means(columns):
    return [mean(values) for values in zip(*columns, strict=True)]


def test_learning_curves_are_the_results():
    results = load_results(RESULTS / "pdigits")
    (metric, loss), names = charts(results)
    assert names == results.axes["model"]
    for chart, key in ((metric, "test_metric"), (loss, "train_loss")):
        assert list(_traces(chart)) == names
        for name, trace in _traces(chart).items():
            runs = [run.curves for run in results.runs if run.arm["model"] == name]
            assert trace["x"] == runs[0]["epoch"]
            assert trace["y"] == pytest.approx(_means([run[key] for run in runs]))
            assert names[trace["meta"]] == name
            thin = next(t for t in chart.figure["data"] if t["name"] == name)
            assert thin["y"] == [v for run in runs for v in (*run[key], None)]
    assert "type" not in metric.figure["layout"]["yaxis"]
    assert loss.figure["layout"]["yaxis"]["type"] == "log"
    assert metric.numbers.rows[0][0] == "1"
    assert metric.numbers.rows[-1][0] == "40"
    assert metric.numbers.note == "12 of 40 records"


def test_maps_are_the_results():
    found, names = charts(load_results(RESULTS / "figure7"))
    assert names == []
    theirs = list(maps_of(load_results(RESULTS / "figure7")))
    assert [chart.figure["data"][0]["z"] for chart in found] == [each.values for each in theirs]
    data = found[0].figure["data"][0]
    row, column = data["y"].index("0.6"), data["x"].index("1")
    run = next(
        run
        for run in load_results(RESULTS / "figure7").runs
        if run.arm
        == {"task": "mnist", "N": 256, "model": "momentum-lstm", "mu": 0.6, "step_size": 1.0}
    )
    assert data["z"][row][column] == pytest.approx(100 * run.values["best"])


def test_ends_have_the_deviations_of_the_seeds():
    results = load_results(RESULTS / "error-vs-depth")
    data = charts(results)[0][-1].figure["data"]
    runs = [r for r in results.runs if (r.arm["optimizer"], r.arm["depth"]) == ("sgd", 20)]
    last = [100 * run.values["last"] for run in ended(runs)]
    line = next(trace for trace in data if trace["meta"] == results.axes["optimizer"].index("sgd"))
    at = line["x"].index(20)
    assert line["y"][at] == pytest.approx(mean(last))
    assert line["error_y"]["array"][at] == pytest.approx(stdev(last))


def test_iterations_have_a_band_of_seeds():
    results = load_results(RESULTS / "slides-accumulation")
    (chart,), names = charts(results)
    runs = [run for run in results.runs if run.arm["method"] == names[1]]
    trace = _traces(chart)[names[1]]
    assert trace["x"] == [k + 1 for k in runs[0].curves["k"]]
    assert trace["y"] == pytest.approx(_means([run.curves["gap"] for run in runs]))


def test_bars_are_ratios_with_quartiles():
    results = load_results(RESULTS / "benchmarks" / "layers")
    (chart,), names = charts(results)
    trace = chart.figure["data"][names.index("LSTM")]
    value = results.runs[2].values["LSTM"]
    assert trace["y"][2] == value["ratio"]
    low, high = value["ratio_quartiles"]
    assert trace["error_y"]["array"][2] == pytest.approx(high - value["ratio"])
    assert trace["error_y"]["arrayminus"][2] == pytest.approx(value["ratio"] - low)


def test_gradients_are_logarithms():
    results = load_results(RESULTS / "figure2")
    chart = charts(results)[0][0]
    curves = results.runs[0].curves
    assert chart.figure["data"][0]["z"][-1][0] == pytest.approx(math.log10(curves["state"][0][-1]))


def test_points_where_nothing_was_recorded():
    runs = [
        Result(recipe={}, values={"chosen": v}, arm={"model": m}, seed=s)
        for m, v, s in (("a", 1.0, 0), ("a", 2.0, 1), ("b", 5.0, 0), ("b", 5.0, 1))
    ]
    (chart,), _ = charts(_results(runs, {"model": ["a", "b"]}))
    assert chart.figure["data"][0]["x"] == [1.5, 5.0]
    assert chart.figure["data"][0]["error_x"]["array"] == pytest.approx([math.sqrt(0.5), 0.0])


def test_a_failed_run_is_dotted_and_in_no_mean():
    runs = [_run("a", seed, [0.1, 0.2, 0.3]) for seed in range(2)]
    runs[1].failed = "training diverged"
    runs[1].curves = {key: column[:2] for key, column in runs[1].curves.items()}
    data = charts(_results(runs, {"model": ["a"]}))[0][0].figure["data"]
    assert [(t["name"], t["line"].get("dash")) for t in data] == [("a, failed", "dot"), ("a", None)]
    assert data[1]["y"] == [0.1, 0.2, 0.3]


def test_runs_under_way_have_a_mean_as_far_as_all_have_come():
    runs = [_run("a", 0, [0.2, 0.4, 0.6]), _run("a", 1, [0.4, 0.8])]
    data = charts(_results(runs, {"model": ["a"]}))[0][0].figure["data"]
    assert data[1]["x"] == [1, 2]
    assert data[1]["y"] == pytest.approx([0.3, 0.6])


def test_only_what_differs_stands_in_the_table_of_settings():
    found = differences(load_results(RESULTS / "pdigits"))
    assert found.keys == [
        "model",
        *(f"model_options.rule.{k}" for k in ("mu", "step_size", "beta", "restart")),
    ]
    assert found.rows[1] == ("momentum-lstm", ["momentum-lstm", "0.6", "1.0", "-", "-"])
    common = dict(found.common)
    assert common["optimizer_options.lr"] == "0.001"
    assert common["order_seed"] == "0, 1, 2"
    assert not set(common) & set(found.keys)


def test_long_lists_are_cut():
    common = dict(differences(load_results(RESULTS / "slides-momentum")).common)
    assert common["at"] == "[0, 1, 2, 3, 4, 5, 6, 7, ...] (237 values)"


def test_the_provenance_has_every_origin_of_the_runs():
    results = load_results(RESULTS / "table2")
    told = dict(provenance(results))
    assert told["Command"] == [results.provenance["command"]]
    assert len(told["Commit"]) == len({run.provenance["commit"] for run in results.runs})
    assert told["Seeds"] == ["0, 1, 2"]
    assert "torch 2.13.0+cpu" in told["Versions"][0]
    results.runs[0].provenance = {"commit": "0123456789abcdef", "uncommitted_changes": True}
    assert "0123456789ab with uncommitted changes" in dict(provenance(results))["Commit"]


@pytest.mark.parametrize("name", TRAINED)
def test_every_recorded_result_is_drawn(name):
    found, names = charts(load_results(RESULTS / name))
    assert found
    for chart in found:
        json.dumps(chart.figure)
        assert chart.told
        for trace in chart.figure["data"]:
            assert not names or 0 <= trace["meta"] < len(names)


def _trials(space, arms):
    view = {"space": space, "model": "m", "trials": len(arms), "pruned": 0}
    runs = []
    for number, (one, two) in enumerate(arms):
        run = _run("m", 0, [0.1 * (number + 1)])
        run.arm, run.values["chosen_validation"] = {"mu": one, "lr": two}, 0.1 * (number + 1)
        runs.append(run)
    axes = {name: list(dict.fromkeys(arm[i] for arm in arms)) for i, name in enumerate(space)}
    return _results(runs, axes, view=view, table="trials", figure="landscape")


def test_a_grid_of_two_settings_is_a_map():
    arms = [(0.0, 1.0), (0.0, 2.0), (0.5, 1.0), (0.5, 2.0)]
    (chart,), _ = charts(_trials({"mu": "values", "lr": "values"}, arms))
    (data,) = chart.figure["data"]
    assert (data["x"], data["y"]) == (["1", "2"], ["0.5", "0"])
    assert data["z"] == pytest.approx(np.array([[0.3, 0.4], [0.1, 0.2]]))


def test_another_search_is_points_against_each_setting():
    results = _trials({"mu": "range", "lr": "log"}, [(0.1, 1.0), (0.7, 3.0)])
    found, _ = charts(results)
    assert [chart.figure["data"][0]["x"] for chart in found] == [[0.1, 0.7], [1.0, 3.0]]
    assert [chart.figure["data"][0]["y"] for chart in found] == [pytest.approx([0.1, 0.2])] * 2
    assert found[1].figure["layout"]["xaxis"]["type"] == "log"
    (group,) = verdicts(results, table(results))
    assert group.lead.endswith(": mu 0.7, lr 3.0.")
    assert group.verdicts[0].words.startswith("validation accuracy 0.2000")
