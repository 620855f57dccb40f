"""Tables and figures from results made by hand, whose numbers are known."""

import re
from pathlib import Path

import numpy as np
import pytest

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import FIGURES, TABLES
from torchmomentum.experiments.report.comparison import comparison
from torchmomentum.experiments.report.document import document, insert
from torchmomentum.experiments.report.iterations import curve, rates
from torchmomentum.experiments.report.judgement import baseline_of, difference
from torchmomentum.experiments.report.named import draw, table
from torchmomentum.experiments.report.timings import fraction
from torchmomentum.experiments.report.words import arm_name, signed
from torchmomentum.experiments.result import Result, Results
from torchmomentum.experiments.studies.run import load_results

ROOT = Path(__file__).parents[3]
PROVENANCE = {
    "command": "torchmomentum x",
    "date": "2026-11-25T00:00:00",
    "cpu": "a CPU",
    "gpu": None,
    "python": "3.11",
    "torch": "2.13",
    "torchmomentum": "0.1",
    "threads": 2,
}


def _results(runs, axes, **changes):
    values = {
        "study": "digits",
        "title": "the digits",
        "scale": "desk",
        "axes": axes,
        "seeds": sorted({run.seed for run in runs}),
        "metric": "accuracy",
        "higher_is_better": True,
        "table": "comparison",
        "figure": "curves",
        "view": {},
        "runs": runs,
        "jobs": 1,
        "provenance": PROVENANCE,
    }
    return Results(**{**values, **changes})


def _run(model, seed, metrics, *, validation=None, seconds=2.0, **changes):
    validation = metrics if validation is None else validation
    at = int(np.argmax(validation))
    curves = {
        "epoch": list(range(1, len(metrics) + 1)),
        "test_metric": metrics,
        "validation_metric": validation,
        "train_loss": [1.0 / (i + 1) for i in range(len(metrics))],
        "train_seconds": [seconds * (i + 1) for i in range(len(metrics))],
    }
    values = {
        "best": max(metrics),
        "last": metrics[-1],
        "chosen": metrics[at],
        "chosen_epoch": at + 1,
    }
    result = Result(
        recipe={"epochs": len(metrics), "threads": 1},
        values=values,
        curves=curves,
        costs={
            "parameters": 1234,
            "train_seconds": seconds * len(metrics),
            "peak_memory_bytes": 2**20,
        },
        arm={"model": model},
        seed=seed,
    )
    for name, value in changes.items():
        setattr(result, name, value)
    return result


def _comparison(**changes):
    runs = [
        _run("a", 0, [0.5, 0.6]),
        _run("b", 0, [0.9, 0.8], validation=[0.1, 0.2], seconds=5.0),
        _run("a", 1, [0.4, 0.7]),
        _run("b", 1, [0.7, 0.9], validation=[0.3, 0.2], seconds=7.0),
    ]
    return _results(runs, {"model": ["a", "b"]}, **changes)


def test_the_comparison_in_numbers():
    """b is chosen by validation: 0.8 and 0.7, beside a's 0.6 and 0.7."""
    head, rows, caption, note = comparison(_comparison())[:4]
    a, b = (dict(zip(head, row, strict=True)) for row in rows)
    assert a["difference [95 % interval]"] == "baseline"
    assert (a["best"], a["verdict"]) == ("0.6500 ± 0.0707", "")
    assert b["best"] == "0.9000 ± 0.0000"
    assert b["last"] == "0.8500 ± 0.0707"
    assert b["chosen"] == "0.7500 ± 0.0707"
    mean, half = 0.1, 12.7062 * np.std([0.2, 0.0], ddof=1) / np.sqrt(2)
    expected = f"+{mean:.4f} [{mean - half:.4f}, +{mean + half:.4f}]"
    assert b["difference [95 % interval]"] == expected
    assert b["verdict"] == "not separable"
    assert b["time"] == "3.00x"  # 10 / 4 and 14 / 4
    assert (b["parameters"], b["memory"]) == ("1,234", "1.0 MiB")
    assert "higher is better" in caption
    assert note.startswith("Seeds 0, 1; 2 epochs")


def test_lower_may_be_better():
    runs = [_run(m, s, [v + 0.01 * s]) for s in range(3) for m, v in (("a", 0.5), ("b", 0.2))]
    for higher, word in ((True, "worse"), (False, "better")):
        found = _results(runs, {"model": ["a", "b"]}, higher_is_better=higher)
        for run in runs[:1]:  # equal differences have no spread
            run.values["chosen"] += 0.001
        assert _cell(found, "verdict") == word


def _cell(results, column, row=1):
    found = comparison(results)
    return found.rows[row][found.head.index(column)]


def test_what_failed_is_told_and_left_out():
    results = _comparison()
    results.runs[3].failed, results.runs[3].values = "training diverged", {}
    results.runs[1].warning = "training loss exploded"
    assert _cell(results, "verdict") == "one seed diverged: 1 of 2 loss exploded: 1 of 2"
    assert _cell(results, "best") == "0.9000"
    for run in results.runs:
        run.failed = "training diverged"
    assert comparison(results).rows[1][1:5] == ["-", "-", "-", ""]


def test_pairs_are_of_the_same_seed():
    """The order of the runs is none of the table's business."""
    results = _comparison()
    expected = difference(results, {"model": "b"}, "chosen")
    results.runs[1], results.runs[3] = results.runs[3], results.runs[1]
    assert difference(results, {"model": "b"}, "chosen") == expected


def test_the_baseline_is_the_first_on_the_axes_of_the_view():
    results = _results([], {"epochs": [20, 10], "depth": [11, 20], "optimizer": ["sgd", "srsgd"]})
    arm = {"epochs": 10, "depth": 20, "optimizer": "srsgd"}
    assert baseline_of(results, arm) == {"epochs": 20, "depth": 11, "optimizer": "sgd"}
    results.view = {"baseline": ["optimizer", "epochs"]}
    assert baseline_of(results, arm) == {"epochs": 20, "depth": 20, "optimizer": "sgd"}


def test_time_to_accuracy():
    """The target is what a reaches in each seed: 0.5; b takes 1 epoch, c reaches it once."""
    runs = [
        *(_run("a", 0, [0.1, 0.5, 0.4]), _run("a", 1, [0.1, 0.2, 0.6])),
        *(_run("b", 0, [0.5, 0.1, 0.1]), _run("b", 1, [0.7, 0.1, 0.1])),
        *(_run("c", 0, [0.1, 0.1, 0.1]), _run("c", 1, [0.9, 0.1, 0.1])),
    ]
    results = _results(runs, {"model": ["a", "b", "c"]}, table="time-to-accuracy")
    found = table(results)
    assert "accuracy 0.5000" in found.caption
    assert found.rows == [
        ["a", "2 of 2", "2.5", "5.0", "1.00"],
        ["b", "2 of 2", "1", "2.0", "0.40"],
        ["c", "1 of 2", "-", "-", "-"],
    ]
    results.view = {"target": 0.95}
    assert [row[1] for row in table(results).rows] == ["0 of 2"] * 3
    results.view, results.higher_is_better = {}, False
    assert table(results).rows[0][:3] == ["a", "2 of 2", "1"]


def test_numbers_have_their_sign():
    found = [signed(x) for x in (0.0, 0.5, -0.5, 1e-4)]
    assert found == ["+0.0000", "+0.5000", "-0.5000", "+1.00e-04"]


def test_a_file_is_named_without_its_folder():
    axes = {"model": ["lstm", "/a/long/folder/my.py:Net@x=2", "other/my.py:Other"]}
    results = _results([], axes)
    found = [arm_name(results, {"model": model}) for model in axes["model"]]
    assert found == ["lstm", "my.py:Net@x=2", "my.py:Other"]
    axes["model"].append("other/my.py:Net@x=2")  # another file of that name
    assert arm_name(results, {"model": axes["model"][1]}) == "/a/long/folder/my.py:Net@x=2"


def _path(method, seed, values, **more):
    return Result(
        recipe={"iterations": 200, **({"data": "digits"} if more else {})},
        values={"extra": 0.5 + seed, "loss": 0.25},
        curves={"k": [0, 10, 20, 40], "gap": values, "loss": values, **more},
        arm={"method": method},
        seed=seed,
    )


def test_iterations_in_numbers():
    """The mean of the seeds with the least and the greatest; what is taken off; the fit."""
    runs = [_path("GD", s, [1.0 + s, 0.5 + s, 0.25 + s, 0.125 + s]) for s in (0, 1)]
    runs += [_path("minimum", s, []) for s in (0, 1)]
    view = {
        "x": "k",
        "y": "loss",
        "less": "minimum",
        "shown": [10, 40, 200, 500],
        "quantity": "gap",
        "extras": ["extra"],
        "mixing": {"GD": {"R-hat": 1.01}},
    }
    axes = {"method": ["GD", "minimum"]}
    results = _results(runs, axes, table="iterations", view=view)
    found = table(results)
    assert found.head == ["method", "k = 10", "k = 40", "extra", "R-hat"]
    assert "2 seeds, mean (least-greatest)." in found.caption
    assert found.rows == [["GD", "0.75 (0.25-1.2)", "0.375 (-0.12-0.88)", "1", "1.01"]]
    np.testing.assert_array_equal(curve(results, {"method": "GD"})[1][0], [0.75, 0.25, 0.0, -0.125])
    one = _results(
        [_path("GD", 0, [8.0, 4.0 / 10, 4.0 / 20, 4.0 / 40])],
        {"method": ["GD"]},
        table="iterations",
        view={**view, "less": "no", "y": "gap", "fitted": True, "theorem": {"GD": "1/k"}},
    )
    del one.view["less"], one.view["mixing"]
    cells = dict(zip(table(one).head, table(one).rows[0], strict=True))
    assert (cells["k = 10"], cells["slope"], cells["theorem"]) == ("0.4", "-1.00", "1/k")
    assert "1 seed, mean." in table(one).caption
    one.runs[0].recipe["iterations"] = 100  # fitted for k from 1 to 10: both ends count
    one.runs[0].curves |= {"k": [1, 10, 40], "gap": [4.0, 0.4, 0.1]}
    assert [f"{each:.2f}" for each in rates(one, one.arms()[0])] == ["-1.00", "0.77"]


def _timing(item, ratio, table, **values):
    found = {
        name: {"median_ms": 2.0 * r, "ratio": r, "ratio_quartiles": [r - 0.1, r + 0.2], **values}
        for name, r in (("nn.LSTM", 1.0), ("LSTM", ratio))
    }
    return Result(
        recipe={"device": "cpu", "threads": 2},
        values=found,
        costs={
            "cost": {"operations": 100, "bytes": 10},
            "ceilings": {"operations_per_s": 1e5, "bytes_per_s": 1e9},
        },
        arm={"item": item},
    )


def test_what_did_not_run_on_a_gpu_is_told():
    run = _timing("1, 2", 0.5, "gpu")
    run.costs["failed"] = {"GRU": "out of memory\nmore of it"}
    found = table(_results([run], {"item": ["1, 2"]}, table="timing-each", view={"item": "T, B"}))
    assert found.rows[-1] == ["1, 2", "GRU", "-", "out of memory"]


def test_timings_in_numbers():
    runs = [_timing("1, 2", 0.5, "layers"), _timing("3, 4", 0.75, "layers")]
    results = _results(
        runs, {"item": ["1, 2", "3, 4"]}, table="timing-layers", view={"item": "T, B"}
    )
    found = table(results)
    assert found.head == ["T, B", "nn.LSTM, ms", "LSTM", "ceiling: nn.LSTM", "ceiling: LSTM"]
    # 100 operations at 1e5 a second are 1 ms of 2, and of 1
    assert found.rows[0] == ["1, 2", "2.0", "0.50 (0.40-0.70)", "50%", "100%"]
    assert (
        fraction({"operations": 1, "bytes": 10}, {"operations_per_s": 1e9, "bytes_per_s": 1e3}, 20)
        == 0.5
    )


def test_figures_show_one_epoch_and_the_quartiles(tmp_path):
    """A curve of one point needs a marker; bars have whiskers, and a legend beside them."""
    runs = [_run("a", 0, [0.5]), _run("b", 0, [0.6])]
    names = draw(_results(runs, {"model": ["a", "b"]}), tmp_path)
    assert names == ["test_metric", "train_loss"]
    for name in names:
        text = (tmp_path / f"{name}.svg").read_text()
        assert len(re.findall("<use ", text)) >= 2 + len(re.findall("xtick_", text))
    runs = [_timing("1, 2", 0.5, "layers")]
    results = _results(
        *(runs, {"item": ["1, 2"]}), figure="ratios", view={"item": "T, B"}, study="layers"
    )
    assert draw(results, tmp_path) == ["layers"]
    assert "LineCollection" in (tmp_path / "layers.svg").read_text()
    assert draw(_results(runs, {"item": ["1, 2"]}, figure=None), tmp_path) == []


def test_a_document_has_its_command_and_its_machine():
    text = document(_comparison())
    assert text.startswith("`torchmomentum x`\n")
    assert "| b | 0.9000 ± 0.0000 |" in text
    assert text.rstrip().endswith(
        "a CPU, no GPU; Python 3.11, torch 2.13, torchmomentum 0.1; 2026-11-25."
    )


def test_tables_go_between_marks(tmp_path):
    path = tmp_path / "d.md"
    path.write_text("a\n<!-- x:begin -->\nold \\1\n<!-- x:end -->\nb\n")
    insert(path, "x", "new \\1\n")
    assert path.read_text() == "a\n<!-- x:begin -->\nnew \\1\n<!-- x:end -->\nb\n"
    with pytest.raises(UsageError, match="has no marks"):
        insert(path, "y", "")


RECORDED = sorted((ROOT / "results").glob("**/results.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_every_recorded_result_is_of_the_one_schema(path):
    results = load_results(path)
    assert results.table in TABLES
    assert table(results).rows
    again = Results.from_dict(results.to_dict(), "")
    assert again == results
    assert results.figure is None or results.figure in FIGURES


@pytest.mark.parametrize(
    "name", ["pdigits", "slides-quadratic", "benchmarks/optim", "fewer-epochs"]
)
def test_recorded_results_are_drawn(name, tmp_path):
    """One of each figure."""
    assert draw(load_results(ROOT / "results" / name), tmp_path)


def test_another_form_is_refused():
    values = _comparison().to_dict()
    for wrong in ({**values, "schema": 2}, {**values, "more": 1}, {"schema": 1}, [], "text"):
        with pytest.raises(
            UsageError,
            match=r"^here (holds results of another form|is not a torchmomentum results file)",
        ):
            Results.from_dict(wrong, "here")
