"""``torchmomentum list``."""

from __future__ import annotations

import argparse

from torchmomentum.experiments.cli.options import Commands
from torchmomentum.experiments.images.figures import FIGURES, plan
from torchmomentum.experiments.images.recipes import SCALES
from torchmomentum.experiments.recipes import MODELS, PRESETS, RECIPES, TASKS, recipe


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    commands.add_parser("list", help="list tasks, models and recipes")


def run(options: argparse.Namespace) -> None:
    """Prints tasks, models and recipes."""
    for task in TASKS:
        for preset in PRESETS:
            shown = recipe(task, preset)
            length = "" if shown.length is None else f", length {shown.length}"
            print(
                f"{task} --preset {preset}: {shown.title}{length}; {shown.optimizer} "
                f"lr {shown.lr:g}, batch {shown.batch_size}, {shown.epochs} epochs, "
                f"hidden {shown.hidden_size}"
            )
        for rule, values in RECIPES[task][0].rules.items():
            print(f"    {rule}: {', '.join(f'{k}={v}' for k, v in values.items())}")
    print(f"models: {', '.join(MODELS)}")
    for name, figure in FIGURES.items():
        for scale in SCALES:
            runs = plan(name, scale)
            depths, epochs, optimizers = (
                ", ".join(dict.fromkeys(str(getattr(run, key)) for run in runs))
                for key in ("depth", "epochs", "optimizer")
            )
            print(
                f"reproduce {name} --scale {scale}: {figure.title} on {figure.recipe}; "
                f"{optimizers}; depth {depths}; {epochs} epochs; {len(runs)} runs"
            )
