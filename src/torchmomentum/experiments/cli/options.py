"""The options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import DEVICES, ON_NONFINITE, PRECISIONS, STRATEGIES
from torchmomentum.experiments.registry import OPTIMIZERS
from torchmomentum.experiments.study import SCALES

if TYPE_CHECKING:
    from torchmomentum.experiments.engine.place import Place

Commands = Any  # argparse's collection of subparsers, which has no public type
RULE_OPTIONS = ("mu", "step_size", "beta", "eps", "restart", "gain")
_RECIPE_OPTIONS = (
    *("epochs", "steps", "batch_size", "lr", "optimizer", "hidden_size", "clip", "length"),
    *("order_seed", "init_seed", "permutation_seed", "device", "precision", "threads"),
    *("train_limit", "test_limit", "on_nonfinite", "devices", "nodes", "strategy", "accumulate"),
)


class Parser(argparse.ArgumentParser):
    """Errors are one line and exit with 2; options are not abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Tells what is wrong, without the usage."""
        raise UsageError(message)


def numbers(text: str) -> list[int | float]:
    """``0.3,0.6`` as numbers.

    Raises:
        ArgumentTypeError: One of them is none.
    """
    found: list[int | float] = []
    for part in text.split(","):
        try:
            found.append(int(part))
        except ValueError:
            try:
                found.append(float(part))
            except ValueError:
                raise argparse.ArgumentTypeError(f"invalid number: {part!r}") from None
    return found


def names_of(text: str) -> list[str]:
    """``a,b`` as names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def add_recipe_options(parser: argparse.ArgumentParser, *, optimizers: bool = False) -> None:
    """What a recipe says, and the momentum rule's numbers.

    Args:
        parser: Of a command.
        optimizers: Whether it compares several.
    """
    group = parser.add_argument_group("recipe (by default the task's, see 'torchmomentum list')")
    group.add_argument("--scale", default="desk", metavar="NAME", help=", ".join(SCALES))
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    group.add_argument("--steps", type=int, metavar="N", help="training steps (generated tasks)")
    group.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch")
    group.add_argument("--hidden-size", type=int, metavar="N", help="hidden units")
    group.add_argument(
        "--length",
        type=int,
        metavar="N",
        help="steps of adding and of selective copying; blanks of copying",
    )
    group.add_argument("--train-limit", type=int, metavar="N", help="training samples")
    group.add_argument("--test-limit", type=int, metavar="N", help="validation and test samples")
    names = f"{', '.join(OPTIMIZERS)}{'; several are compared' if optimizers else ''}"
    metavar = "NAME,..." if optimizers else "NAME"
    group.add_argument("--optimizer", metavar=metavar, help=names)
    group.add_argument("--lr", type=float, metavar="X", help="learning rate")
    group.add_argument("--clip", type=float, metavar="X", help="largest norm of the gradient")
    add_set(group, "another option of the task, the model or the optimizer")
    rule = parser.add_argument_group("momentum rule (a list X,X,... compares its values)")
    helps = {
        "mu": "momentum, in [0, 1)",
        "step_size": "step size, positive",
        "beta": "second moment kept, in [0, 1)",
        "eps": "added to the root of the second moment",
        "restart": "steps between restarts",
        "gain": "of the control gain",
    }
    for name, words in helps.items():
        option = f"--{name.replace('_', '-')}"
        rule.add_argument(option, type=numbers, metavar="X,...", help=words)
    seeds = parser.add_argument_group("seeds")
    seeds.add_argument(
        "--permutation-seed", type=int, metavar="N", help="order of permuted pixels (default 0)"
    )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """On which device, from which data and to which folder."""
    run = parser.add_argument_group("run")
    run.add_argument("--device", metavar="NAME", help=f"{', '.join(DEVICES)} (default cpu)")
    run.add_argument("--devices", type=int, metavar="N", help="devices that train a run together")
    run.add_argument("--nodes", type=int, metavar="N", help="machines, each with so many devices")
    run.add_argument(
        "--strategy", metavar="NAME", help=f"{', '.join(STRATEGIES)} (default ddp): what each holds"
    )
    run.add_argument("--accumulate", type=int, metavar="N", help="passes that make a step")
    run.add_argument(
        "--precision",
        metavar="NAME",
        help=f"{', '.join(PRECISIONS)} (bfloat16, float16: autocast)",
    )
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads of a run")
    run.add_argument(
        "--on-nonfinite",
        metavar="NAME",
        help=f"{', '.join(ON_NONFINITE)} steps with a loss that is not finite (default raise)",
    )
    add_folder_options(run)


def add_folder_options(parser: Any) -> None:
    """From which data and to which folder, and how many runs at a time."""
    parser.add_argument("--data-dir", metavar="DIR", help="data folder (or TORCHMOMENTUM_DATA)")
    parser.add_argument("--offline", action="store_true", help="do not download missing data")
    parser.add_argument("--out", metavar="DIR", help="where to write (default runs/...)")
    parser.add_argument("--runs", metavar="DIR", help="folder of runs, shared by studies")
    parser.add_argument("--resume", action="store_true", help="go on with what --out holds")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time")
    parser.add_argument(
        "--checkpoint-every", type=int, default=100, metavar="N", help="steps between checkpoints"
    )
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="NAME",
        help="logs to wandb, mlflow or trackio, too (besides TensorBoard)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_search_options(group: Any) -> None:
    """What a search tries, how, and where it is remembered."""
    group.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="NAME=...",
        help="what to try of a setting: X,X,... or LOW:HIGH or LOW:HIGH:log",
    )
    group.add_argument(
        "--sampler", default="tpe", metavar="NAME", help="tpe, random, grid (default %(default)s)"
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://..., sqlite:///FILE, grpc://HOST:PORT or a journal file, shared by all "
        "machines (default: a journal in the folder of runs)",
    )


def storage_of(options: argparse.Namespace, place: Place) -> str:
    """Where a search is remembered."""
    from torchmomentum.experiments.sweeps.storage import journal_of

    return journal_of(place) if options.storage is None else str(options.storage)


def add_set(group: Any, words: str) -> None:
    """``--set NAME=VALUE``, as often as one likes.

    Args:
        group: Of a parser.
        words: What may be set.
    """
    group.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=words)


def settings_set(options: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_set` was given.

    Raises:
        UsageError: It has another form.
    """
    if not options.set:
        return {}  # no torch for nothing
    from torchmomentum.experiments.models import setting

    return dict(setting(each) for each in options.set)


def given(options: argparse.Namespace, names: Iterable[str] = _RECIPE_OPTIONS) -> dict[str, Any]:
    """What of some options, by default those of a recipe, is on the command line."""
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def single_values(values: Mapping[str, Sequence[Any]], command: str) -> dict[str, Any]:
    """The hyperparameters of a rule, of a command that takes one value of each.

    Raises:
        UsageError: One has several.
    """
    for name, listed in values.items():
        if len(listed) > 1:
            raise UsageError(f"{command} takes one {name}, got {len(listed)}; use compare")
    return {name: listed[0] for name, listed in values.items()}


def jobs_of(options: argparse.Namespace, *, alone: bool = False) -> int:
    """Runs at a time: by default as many as the cores are enough for, and one on a GPU.

    Args:
        options: The command line.
        alone: A run takes the whole machine.

    Raises:
        UsageError: Fewer than one, or several of runs that take several devices each.
    """
    several = (getattr(options, "devices", None) or 1) * (getattr(options, "nodes", None) or 1) > 1
    if several and (options.jobs or 1) > 1:
        raise UsageError(f"jobs must be 1 with several devices, got {options.jobs}")
    if options.jobs is None:
        if alone or several or getattr(options, "device", None) == "cuda":
            return 1
        return max(1, (os.cpu_count() or 1) // (getattr(options, "threads", None) or 1))
    jobs: int = options.jobs
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    return jobs


def threads_of(jobs: int) -> int:
    """The threads of a run among others: all cores together."""
    return max(1, (os.cpu_count() or 1) // jobs)


def training_settings(options: argparse.Namespace, command: str, jobs: int) -> dict[str, Any]:
    """What the command line says of one training.

    Args:
        options: With a task and a model.
        command: What it is called in messages.
        jobs: Runs at a time.

    Raises:
        UsageError: A hyperparameter has several values.
    """
    return {
        "task": options.task,
        "model": options.model,
        "scale": options.scale,
        "threads": threads_of(jobs),
        **given(options),
        **settings_set(options),
        **single_values(given(options, RULE_OPTIONS), command),
    }


def place_of(options: argparse.Namespace, out: Path, runs: str | None = None) -> Place:
    """Where runs read and write: below ``out``, unless the command line or ``runs`` says otherwise.

    Raises:
        UsageError: No number of steps between checkpoints.
    """
    from torchmomentum.experiments.data.folder import data_folder
    from torchmomentum.experiments.engine.place import Place

    if options.checkpoint_every < 1:
        raise UsageError(f"checkpoint-every must be at least 1, got {options.checkpoint_every}")
    shared = options.runs or runs
    return Place(
        runs=Path(shared) if shared else out / "runs",
        data=data_folder(options.data_dir),
        offline=options.offline,
        checkpoint_every=options.checkpoint_every,
        resume=options.resume,
        logs=tuple(dict.fromkeys(options.log)),
    )


def need_extra(*names: str) -> None:
    """Asks whether the extra is installed, without importing it: that takes seconds.

    Args:
        names: What a command needs of it; by default what a training does.

    Raises:
        UsageError: Something is missing.
    """
    for name in names or ("lightning_fabric", "matplotlib", "rich", "sklearn"):
        if find_spec(name) is None:
            raise UsageError(f"{name} is missing: pip install 'torchmomentum[experiments]'")
