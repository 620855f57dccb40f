"""A study of your own in one file: how the momentum of a cell changes what it learns, by length.

torchmomentum --use examples/add_study.py reproduce momentum-by-length --scale smoke
"""

import tempfile
from pathlib import Path

from torchmomentum.experiments import Scale, Study, register
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.report.named import table
from torchmomentum.experiments.studies.run import run_study

MOMENTUM_BY_LENGTH = Study(
    name="momentum-by-length",
    title="adding problem, momentum against length",
    recipe="torchmomentum.experiments.studies.training:training_recipe",
    axes={"length": (50, 100, 200), "model": ("lstm", "momentum-lstm", "rmsprop-lstm")},
    settings={"task": "adding", "scale": "desk", "threads": 1},
    seeds=3,
    scales={
        "smoke": Scale({"scale": "smoke", "hidden_size": 8}, {"length": (10, 20)}, seeds=2),
        "desk": Scale(),
        "paper": Scale({"scale": "paper"}, {"length": (750,)}, seeds=5),
    },
    scale="desk",
    metric="mean squared error",
    higher_is_better=False,
    table="comparison",
    figure="curves",
    view={"baseline": ["model"]},  # the baseline of an arm is the first model at its length
    options=("epochs", "lr"),
)
register("study", MOMENTUM_BY_LENGTH.name, MOMENTUM_BY_LENGTH)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        runs = MOMENTUM_BY_LENGTH.plan("smoke")
        results = run_study(MOMENTUM_BY_LENGTH, runs, Place(out / "runs"), out, quiet=True)
        print("\n".join(table(results).lines()))
        assert [row[4] for row in table(results).rows].count("baseline") == 2  # one a length
