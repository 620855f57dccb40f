"""A search's table has the best trials first."""

import pytest

from tests.experiments.report.test_tables import _results, _run
from torchmomentum.experiments.report.named import draw, table


def searched(higher, figure="landscape"):
    runs = []
    for number, mu in enumerate((0.0, 0.3, 0.6)):
        for seed in (0, 1):
            run = _run("m", seed, [0.5 - 0.1 * number])
            run.arm = {"mu": mu}
            run.values["chosen_validation"] = 0.1 * number + 0.01 * seed
            runs.append(run)
    runs[2].failed, runs[2].values = "training diverged", {}  # of the second
    view = {"model": "m", "trials": 5, "pruned": 2, "space": {"mu": "range"}}
    return _results(
        runs,
        {"mu": [0.0, 0.3, 0.6]},
        view=view,
        table="trials",
        figure=figure,
        higher_is_better=higher,
    )


@pytest.mark.parametrize(("higher", "order"), [(True, ["0.6", "0.0"]), (False, ["0.0", "0.6"])])
def test_the_best_is_first_and_what_diverged_last(higher, order):
    head, rows, caption, note = table(searched(higher))[:4]
    assert head == ["mu", "validation accuracy", "test accuracy", "note"]
    assert [row[0] for row in rows] == [*order, "0.3"]
    scores = {row[0]: row[1] for row in rows}
    assert scores == {"0.0": "0.0050", "0.6": "0.2050", "0.3": "-"}
    assert rows[2][3] == "diverged: 1 of 2"
    assert "the best of 5 trials of m, by the mean over 2 seeds" in caption
    assert "2 trials were ended early" in caption
    assert note == "Seeds 0, 1"


def test_the_figure_is_drawn(tmp_path):
    assert draw(searched(True), tmp_path) == ["landscape"]
    assert (tmp_path / "landscape.png").stat().st_size > 1000
