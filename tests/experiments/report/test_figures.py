"""What the figures show: their lines, bands, bars, axes and words."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.experiments.report.test_errors import _image
from tests.experiments.report.test_tables import _results, _run, _timing
from torchmomentum.experiments.report import curves, panels, ratios
from torchmomentum.experiments.report.named import draw
from torchmomentum.experiments.result import Result


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws results and gives the figures instead of their files, by name."""

    def figures(results):
        found = {}
        for module in (curves, panels, ratios):

            def keep(figure, path, **_):
                found[path.name] = figure
                return path.name

            monkeypatch.setattr(module, "save", keep)
        assert draw(results, tmp_path) == list(found)
        return found

    return figures


def _lines(axes):
    return {
        line.get_label(): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def test_learning_curves_are_each_seed_and_their_mean(drawn):
    runs = [_run("a", 0, [0.1, 0.3]), _run("a", 1, [0.3, 0.5]), _run("b", 0, [0.6, 0.8])]
    found = drawn(_results(runs, {"model": ["a", "b"]}))
    axes = found["test_metric"].axes[0]
    lines = _lines(axes)
    np.testing.assert_allclose(lines["a"][1], [0.2, 0.4])
    np.testing.assert_allclose(lines["b"][1], [0.6, 0.8])
    thin = [line for line in axes.get_lines() if line.get_label().startswith("_")]
    assert [list(line.get_ydata()) for line in thin[:2]] == [[0.1, 0.3], [0.3, 0.5]]
    assert {to_hex(line.get_color()) for line in thin} == {to_hex("C0"), to_hex("C1")}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "test accuracy")
    assert axes.get_title() == "digits, 2 seeds"
    assert axes.get_yscale() == "linear"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert found["train_loss"].axes[0].get_ylabel() == "training loss"


def test_losses_are_on_a_logarithmic_axis_where_they_are_positive(drawn):
    for values, scale in (([0.5, 0.1], "log"), ([0.5, 0.0], "linear")):
        results = _results([_run("a", 0, values)], {"model": ["a"]}, higher_is_better=False)
        assert drawn(results)["test_metric"].axes[0].get_yscale() == scale


def test_a_failed_run_has_no_curve(drawn):
    failed = Result(recipe={}, failed="diverged", arm={"model": "a"}, seed=0)
    axes = drawn(_results([failed], {"model": ["a"]}))["test_metric"].axes[0]
    assert not axes.get_lines()
    assert axes.get_legend() is None


def test_errors_by_depth_are_means_with_deviations_in_percent(drawn):
    runs = [
        _image(name, depth, seed, base + 0.02 * seed)
        for name, base in (("sgd", 0.3), ("srsgd-linear", 0.2))
        for depth in (29, 20)
        for seed in (0, 1)
    ]
    axes = {"epochs": [20], "depth": [20, 29], "optimizer": ["sgd", "srsgd-linear"]}
    view = {"axis": "depth", "recipe": "cifar100", "baseline": ["optimizer", "epochs"]}
    results = _results(runs, axes, table="errors", figure="errors", view=view)
    found = drawn(results)["curves"].axes[0]
    bars = {bar.get_label(): bar for bar in found.containers}
    assert list(bars) == ["SGD, 20 epochs", "SRSGD, linear, 20 epochs"]
    line, _, (whiskers,) = bars["SGD, 20 epochs"].lines
    assert list(line.get_xdata()) == [20, 29]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [31.0, 31.0])
    spread = [float(np.ptp(each[:, 1])) / 2 for each in whiskers.get_segments()]
    np.testing.assert_allclose(spread, np.sqrt(2.0))
    assert (found.get_xlabel(), found.get_ylabel()) == ("depth", "test error, %")
    assert "which stands in for cifar100" in found.get_title()
    assert [text.get_text() for text in found.get_legend().get_texts()] == list(bars)
    results.view = {**view, "axis": "epoch"}
    lines = _lines(drawn(results)["curves"].axes[0])
    np.testing.assert_allclose(lines["depth 20, sgd"][1], [31.0])


def _chain(method, seed, values):
    return Result(
        recipe={"iterations": 3},
        values={"last": values[-1]},
        curves={"k": [0, 1, 9], "gap": values, "seconds": [0.1, 0.2, 0.5 + seed]},
        arm={"method": method},
        seed=seed,
    )


def test_iterations_are_means_in_the_band_of_the_seeds(drawn):
    runs = [_chain("GD", 0, [4.0, 2.0, 1.0]), _chain("GD", 1, [8.0, 4.0, 3.0])]
    view = {"x": "k", "y": "gap", "quantity": "f - f*"}
    results = _results(runs, {"method": ["GD"]}, figure="iterations", view=view)
    axes = drawn(results)["curves"].axes[0]
    x, y = _lines(axes)["GD"]
    assert list(x) == [1, 2, 10]
    np.testing.assert_allclose(y, [6.0, 3.0, 2.0])
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for k, low, high in zip(x, (4.0, 2.0, 1.0), (8.0, 4.0, 3.0), strict=True):
        at = corners[np.isclose(corners[:, 0], k), 1]
        assert (at.min(), at.max()) == (low, high)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration k + 1", "f - f*")
    assert axes.get_title() == results.title
    assert axes.get_legend() is not None


def test_panels_are_against_iterations_and_seconds(drawn):
    runs = [_chain("GD", 0, [4.0, 2.0, 1.0]), _chain("GD", 1, [8.0, 4.0, 3.0])]
    view = {"x": "k", "y": "gap", "panels": ["gap"], "seconds": "seconds"}
    results = _results(runs, {"method": ["GD"]}, figure="panels", view=view)
    left, right = drawn(results)["curves"].axes
    assert list(_lines(left)["GD"][0]) == [1, 2, 10]
    np.testing.assert_allclose(_lines(right)["GD"][0], [0.1, 0.2, 1.0])
    np.testing.assert_allclose(_lines(right)["GD"][1], [6.0, 3.0, 2.0])
    assert [a.get_xlabel() for a in (left, right)] == ["iteration k + 1", "seconds of sampling"]
    assert [a.get_ylabel() for a in (left, right)] == ["gap"] * 2


def test_bars_are_ratios_with_quartiles_in_a_group_for_each_size(drawn):
    runs = [_timing("1, 2", 0.5, "layers"), _timing("3, 4", 0.6, "layers")]
    results = _results(
        *(runs, {"item": ["1, 2", "3, 4"]}), figure="ratios", view={"item": "T, B"}, study="layers"
    )
    axes = drawn(results)["layers"].axes[0]
    values = runs[0].values
    groups = [group for group in axes.containers if hasattr(group, "patches")]
    assert [group.get_label() for group in groups] == list(values)
    for group, name in zip(groups, values, strict=True):
        heights = [bar.get_height() for bar in group.patches]
        assert heights == [run.values[name]["ratio"] for run in runs]
        low, high = values[name]["ratio_quartiles"]
        (whiskers,) = group.errorbar.lines[2]
        assert sorted(whiskers.get_segments()[0][:, 1]) == pytest.approx([low, high])
    width = groups[0].patches[0].get_width()
    assert width * len(groups) == pytest.approx(0.8)
    lefts = [bar.get_x() for group in groups for bar in group.patches[:1]]
    np.testing.assert_allclose(np.diff(lefts), width)
    middle = (lefts[0] + lefts[-1] + width) / 2
    assert axes.get_xticks()[0] == pytest.approx(middle)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1, 2", "3, 4"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("T, B", f"ratio to {next(iter(values))}")
    del runs[1].values["LSTM"]["ratio_quartiles"]  # whiskers of all, or of none
    bare = drawn(results)["layers"].axes[0].containers
    assert [group.errorbar is not None for group in bare if hasattr(group, "patches")] == [
        True,
        False,
    ]
    # beside the bars, not on them
    assert axes.get_legend().get_bbox_to_anchor().x0 == pytest.approx(axes.bbox.x1)
