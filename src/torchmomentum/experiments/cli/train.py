"""``torchmomentum train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchmomentum.experiments.cli.options import (
    Commands,
    add_place_options,
    add_recipe_options,
    need_extra,
    place_of,
    training_settings,
)
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import TASKS


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    train = commands.add_parser("train", help="train one model on one task")
    train.add_argument("task", metavar="TASK", help=f"{', '.join(TASKS)}, or FILE.py:TASK")
    train.add_argument("--model", required=True, metavar="NAME", help="or FILE.py:MODEL")
    train.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for order and initialization"
    )
    add_recipe_options(train)
    add_place_options(train)
    train.add_argument("--order-seed", type=int, metavar="N", help="data order alone")
    train.add_argument("--init-seed", type=int, metavar="N", help="initialization alone")


def run(options: argparse.Namespace) -> None:
    """Trains one model on one task."""
    need_extra()
    from torchmomentum.experiments.engine.compute import begun, finished, folder_of
    from torchmomentum.experiments.engine.pool import compute_all
    from torchmomentum.experiments.engine.processes import is_first_process
    from torchmomentum.experiments.studies.training import training_recipe
    from torchmomentum.experiments.tasks import task_of

    recipe = training_recipe(training_settings(options, "train", jobs=1), options.seed)
    place = place_of(options, Path(options.out or f"runs/{options.task.rpartition(':')[2]}"))
    folder = folder_of(recipe, place)
    if is_first_process() and begun(recipe, place) and not options.resume:
        done = "" if finished(recipe, place) else ", unfinished"
        raise UsageError(
            f"{folder} holds this run already{done}; give --resume to go on, or another --out"
        )
    result = compute_all([recipe], place, quiet=options.quiet)[recipe.key]
    if result.failed:
        raise UsageError(result.failed)
    metric, values = task_of(recipe.task).metric, result.values
    print(
        f"{recipe.task} {recipe.model}: test {metric} {values['chosen']:.4f} at the epoch "
        f"chosen on validation ({values['chosen_epoch']}), best {values['best']:.4f}, "
        f"last {values['last']:.4f}" + (f"; {result.warning}" if result.warning else "")
    )
    print(f"written to {folder / 'result.json'}")
