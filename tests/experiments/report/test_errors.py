"""Tables of the image figures, from results made by hand."""

import numpy as np

from tests.experiments.report.test_tables import _results
from torchmomentum.experiments.report.html.verdicts import verdicts
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.report.statistics import paired_difference
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.studies.images import published


def _image(optimizer, depth, seed, last, epochs=20):
    schedule = {"milestones": [8]} | ({"restarts": [30, 60]} if optimizer != "sgd" else {})
    return Result(
        recipe={
            "task": "cifar10-jpeg",
            "batch_size": 128,
            "precision": "float32",
            "threads": 1,
            "task_options": {"train_limit": 1000},
            "optimizer_options": {"lr": 0.1},
            "schedule": schedule,
        },
        values={"best": last - 0.01, "last": last},
        curves={"epoch": [20], "test_metric": [last]},
        costs={"train_seconds": 10.0 + seed},
        arm={"epochs": epochs, "depth": depth, "optimizer": optimizer},
        seed=seed,
    )


def test_the_errors_in_numbers():
    runs = [
        _image(optimizer, depth, seed, base + 0.01 * seed + (0.001 * seed**2) * (depth == 29))
        for seed in range(3)
        for depth, base in ((20, 0.3), (29, 0.2))
        for optimizer, base in (("sgd", base), ("srsgd-linear", base - 0.05 + 0.004 * seed))
    ]
    axes = {"epochs": [20], "depth": [20, 29], "optimizer": ["sgd", "srsgd-linear"]}
    view = {"axis": "depth", "recipe": "cifar100", "baseline": ["optimizer", "epochs"]}
    results = _results(runs, axes, table="errors", view=view, higher_is_better=False)
    found = table(results)
    assert [row[0] for row in found.rows] == ["SGD", "SRSGD, linear"] * 2
    assert found.rows[0][3:] == ["31.00 ± 1.00", "30.00 ± 1.00", "baseline", "", "11"]
    differences = [100 * (-0.05 + 0.004 * seed) for seed in range(3)]
    half = 4.30265 * np.std(differences, ddof=1) / np.sqrt(3)
    mean = np.mean(differences)
    told = f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}], better"
    assert [found.rows[1][5], found.rows[3][5]] == [told, told]
    assert "on cifar10-jpeg, which stands in for cifar100" in found.caption
    assert len(found.head) == 8  # no published error of these pictures


def test_a_table_of_errors_says_what_the_page_says():
    """The interval leaves zero out, p is 0.04 alone and 0.08 after Holm's correction."""
    runs = [
        _image(name, depth, seed, 0.3 + noise + shift * (name != "sgd"))
        for depth in (20, 29)
        for seed, (noise, shift) in enumerate([(0.0, -0.02), (0.01, -0.03), (0.0, -0.045)])
        for name in ("sgd", "srsgd-linear")
    ]
    axes = {"epochs": [20], "depth": [20, 29], "optimizer": ["sgd", "srsgd-linear"]}
    view = {"axis": "depth", "recipe": "cifar100", "baseline": ["optimizer", "epochs"]}
    results = _results(runs, axes, table="errors", view=view, higher_is_better=False)
    found = table(results)
    p = paired_difference([-0.02, -0.03, -0.045], [0.0] * 3).p
    assert 0.025 < p < 0.05
    for row in found.rows[1::2]:
        assert row[5].endswith("], not separable")
        assert row[6] == f"{2 * p:.2g}"
    told = [each.said for group in verdicts(results, found) for each in group.verdicts]
    assert told == ["not separable"] * 2


def test_the_published_error_stands_beside_ours():
    optimizers = ["sgd", "srsgd-linear", "srsgd-exponential"]
    runs = [_image(name, 110, seed, 0.05) for seed in range(2) for name in optimizers]
    for run in runs:
        run.recipe["task"], run.arm["epochs"] = "cifar10", 200
    axes = {"epochs": [200], "depth": [110], "optimizer": optimizers}
    view = {"axis": "epoch", "recipe": "cifar10", "baseline": ["optimizer", "epochs"]}
    results = _results(runs, axes, table="errors", view=view, higher_is_better=False)
    assert "published, %" not in table(results).head
    results.view |= published(results)
    found = table(results)
    assert found.head[-1] == "published, %"
    assert [row[-1] for row in found.rows] == ["5.25", "4.93 ± 0.13", "-"]
    assert "SRSGD, linear: 30, 60" in found.caption
