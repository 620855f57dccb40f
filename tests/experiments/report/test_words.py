"""What tables say in words."""

import pytest

from tests.experiments.report.test_tables import _results, _run
from torchmomentum.experiments.report.words import trained


@pytest.mark.parametrize(
    ("epochs", "told"), [((1,), "1 epoch"), ((2,), "2 epochs"), ((1, 3), "1, 3 epochs")]
)
def test_seeds_and_epochs_in_words(epochs, told):
    runs = [_run("a", seed, [0.5] * count) for seed in (0, 1) for count in epochs]
    assert trained(_results(runs, {"model": ["a"]})) == f"Seeds 0, 1; {told}"
