"""``torchmomentum train``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from torchmomentum.experiments.cli.options import (
    Commands,
    add_recipe_options,
    add_run_options,
    given,
    need_extra,
    place_of,
)
from torchmomentum.experiments.configuration import resolve
from torchmomentum.experiments.recipes import MODELS, TASKS


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    train = commands.add_parser("train", help="train one model on one task")
    train.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    train.add_argument("--model", required=True, metavar="NAME", help=", ".join(MODELS))
    train.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for order and initialization"
    )
    add_recipe_options(train)
    add_run_options(train)
    train.add_argument("--order-seed", type=int, metavar="N", help="data order alone")
    train.add_argument("--init-seed", type=int, metavar="N", help="initialization alone")


def run(options: argparse.Namespace) -> None:
    """Trains one model on one task."""
    config = resolve(
        options.task,
        options.model,
        preset=options.preset,
        seed=options.seed,
        overrides={"threads": os.cpu_count() or 1} | given(options),
    )
    need_extra()
    from torchmomentum.experiments.progress import RunsProgress
    from torchmomentum.experiments.training import RESULT, check, train

    check(config)
    place = place_of(
        options, Path("runs") / config.task / config.model / f"seed-{config.init_seed}"
    )
    with RunsProgress(1, quiet=options.quiet) as bars:
        result = train(
            config, place, lambda words, step, steps: bars.update(config.model, words, step, steps)
        )
        found = result["summary"]
        bars.finish(config.model, f"trained {result['train_seconds']:.0f} s")
    print(
        f"{config.task} {config.model}: test {result['metric']} {found['chosen']:.4f} at the epoch "
        f"chosen on validation ({found['chosen_epoch']}), best {found['best']:.4f}, "
        f"last {found['last']:.4f}"
    )
    print(f"written to {place.folder / RESULT}")
