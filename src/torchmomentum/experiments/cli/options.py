"""The options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from torchmomentum.experiments.configuration import (
    DEVICES,
    PRECISIONS,
    RunConfig,
    resolve,
    rule_of,
)
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipes import HYPERPARAMETERS, MODELS, OPTIMIZERS, PRESETS

if TYPE_CHECKING:
    from torchmomentum.experiments.training import Place

Commands = Any  # argparse's collection of subparsers, which has no public type
_RULE_OPTIONS = ("mu", "step_size", "beta", "eps", "restart")
_OVERRIDES = (
    *("epochs", "steps", "batch_size", "lr", "optimizer", "hidden_size", "clip", "length"),
    *("order_seed", "init_seed", "permutation_seed", "device", "precision", "threads"),
    *_RULE_OPTIONS,
)


class Parser(argparse.ArgumentParser):
    """Errors are one line and exit with 2; options are not abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Tells what is wrong, without the usage."""
        raise UsageError(message)


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """What a recipe says, and the momentum rule's numbers."""
    group = parser.add_argument_group("recipe (by default the task's, see 'torchmomentum list')")
    group.add_argument(
        "--preset", default="desk", metavar="NAME", help=f"scale: {', '.join(PRESETS)}"
    )
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    group.add_argument("--steps", type=int, metavar="N", help="training steps (generated tasks)")
    group.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch")
    group.add_argument("--hidden-size", type=int, metavar="N", help="hidden units")
    group.add_argument("--length", type=int, metavar="N", help="steps of adding; blanks of copying")
    group.add_argument("--optimizer", metavar="NAME", help=", ".join(OPTIMIZERS))
    group.add_argument("--lr", type=float, metavar="X", help="learning rate")
    group.add_argument("--clip", type=float, metavar="X", help="largest norm of the gradient")
    rule = parser.add_argument_group("momentum rule")
    rule.add_argument("--mu", type=float, metavar="X", help="momentum, in [0, 1)")
    rule.add_argument("--step-size", type=float, metavar="X", help="step size, positive")
    rule.add_argument("--beta", type=float, metavar="X", help="second moment kept, in [0, 1)")
    rule.add_argument(
        "--eps", type=float, metavar="X", help="added to the root of the second moment"
    )
    rule.add_argument("--restart", type=int, metavar="N", help="steps between restarts")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The pixels' seed, and :func:`add_place_options`."""
    seeds = parser.add_argument_group("seeds")
    seeds.add_argument(
        "--permutation-seed", type=int, metavar="N", help="pixels' order (default 0)"
    )
    add_place_options(parser)


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """On which device, from which data and to which folder."""
    run = parser.add_argument_group("run")
    run.add_argument("--device", metavar="NAME", help=f"{', '.join(DEVICES)} (default cpu)")
    run.add_argument("--precision", metavar="NAME", help=f"{', '.join(PRECISIONS)} (autocast)")
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads of a run")
    run.add_argument("--data-dir", metavar="DIR", help="data folder (or TORCHMOMENTUM_DATA)")
    run.add_argument("--offline", action="store_true", help="do not download missing data")
    run.add_argument("--out", metavar="DIR", help="where to write (default runs/...)")
    run.add_argument("--resume", action="store_true", help="go on with what --out holds")
    run.add_argument(
        "--checkpoint-every", type=int, default=100, metavar="N", help="steps between checkpoints"
    )
    run.add_argument("--quiet", action="store_true", help="no progress bars")


def given(options: argparse.Namespace, names: Iterable[str] = _OVERRIDES) -> dict[str, Any]:
    """What of some options, by default those of a recipe, is on the command line."""
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def jobs_of(options: argparse.Namespace, *, alone: bool = False) -> int:
    """Runs at a time: by default as many as the cores are enough for, and one on a GPU.

    Args:
        options: The command line.
        alone: A run takes the whole machine.

    Raises:
        UsageError: Fewer than one.
    """
    if options.jobs is None:
        if alone or options.device == "cuda":
            return 1
        return max(1, (os.cpu_count() or 1) // (options.threads or 1))
    jobs: int = options.jobs
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    return jobs


def place_of(options: argparse.Namespace, folder: Path) -> Place:
    """Where a run reads and writes; in ``folder`` unless the command line names another.

    Raises:
        UsageError: No number of steps between checkpoints.
    """
    from torchmomentum.experiments.data.folder import data_folder
    from torchmomentum.experiments.training import Place

    if options.checkpoint_every < 1:
        raise UsageError(f"checkpoint-every must be at least 1, got {options.checkpoint_every}")
    return Place(
        folder=Path(options.out) if options.out else folder,
        data=data_folder(options.data_dir),
        offline=options.offline,
        resume=options.resume,
        checkpoint_every=options.checkpoint_every,
    )


def need_extra() -> None:
    """Asks whether the extra is installed, without importing it: that takes seconds."""
    for name in ("lightning", "matplotlib", "rich", "sklearn"):
        if find_spec(name) is None:
            raise UsageError(f"{name} is missing: pip install 'torchmomentum[experiments]'")


def plan_runs(options: argparse.Namespace, threads: int) -> list[RunConfig]:
    """The runs of a comparison, seed by seed, the baseline first.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    models = [name.strip() for name in options.models.split(",") if name.strip()]
    for name in models:
        check_name("model", name, MODELS)
    if not models:
        raise UsageError("models needs at least one name")
    if len(set(models)) < len(models):
        raise UsageError(f"models names one twice: {options.models}")
    if options.seeds < 1:
        raise UsageError(f"seeds must be at least 1, got {options.seeds}")
    overrides = {"threads": threads} | given(options)
    had = {name for model in models for name in HYPERPARAMETERS.get(rule_of(model) or "", ())}
    for name in _RULE_OPTIONS:
        if name in overrides and name not in had:
            raise UsageError(f"none of {options.models} has {name}")
    return [
        resolve(
            options.task,
            model,
            preset=options.preset,
            seed=seed,
            overrides=overrides,
            ignore_unused_rule_options=True,
        )
        for seed in range(options.seeds)
        for model in models
    ]
