"""``torchmomentum reproduce``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchmomentum.experiments.cli.options import (
    Commands,
    add_folder_options,
    add_set,
    given,
    jobs_of,
    need_extra,
    place_of,
    settings_set,
    threads_of,
)
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.recipe import DEVICES, PRECISIONS
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.study import SCALES, Study

if TYPE_CHECKING:
    from torchmomentum.experiments.engine.place import Place

ALL = "all"
_OF_ALL = ("threads", "device", "precision")  # what may differ of all studies at once
SHARED = "runs/shared"  # where the runs of all studies lie by default
# every option of a study by its name: type and help
_OPTIONS: dict[str, tuple[Any, str]] = {
    "iterations": (int, "of the slides' figures of optimization and sampling"),
    "cycle": (None, "the cycle's Laplacian, as the slides print it, instead of the path's"),
    "data": (str, "other images than the study's"),
    "depths": (str, "depths of the networks, N,N,..."),
    "epochs": (int, "passes over the training images"),
    "batch_size": (int, "images of a step"),
    "lr": (float, "learning rate"),
    "train_limit": (int, "training images"),
    "compile": (None, "torch.compile"),
    "device": (str, ", ".join(DEVICES)),
    "devices": (int, "devices that train a run together"),
    "precision": (str, f"{', '.join(PRECISIONS)} (autocast)"),
    "threads": (int, "CPU threads of a run"),
    "workers": (int, "threads that decode ImageNet"),
}


def add(commands: Commands) -> None:
    """Adds the command to the parser."""
    again = commands.add_parser("reproduce", help="compute a figure or a table again")
    again.add_argument("name", metavar="NAME", help=f"{ALL}, or {', '.join(STUDIES)}")
    again.add_argument(
        "--scale", metavar="NAME", help=f"{', '.join(SCALES)} (default: the study's)"
    )
    again.add_argument("--seeds", type=int, metavar="N", help="by default the scale's")
    what = again.add_argument_group("what differs from the study (each has some of these)")
    for name, (kind, words) in _OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        if kind is None:
            what.add_argument(option, action="store_const", const=True, dest=name, help=words)
        else:
            what.add_argument(option, type=kind, dest=name, metavar="X", help=words)
    add_set(what, "another setting, of a study of your own")
    add_folder_options(again.add_argument_group("run"))


def _depths(text: str) -> list[int]:
    try:
        return [int(depth) for depth in text.split(",")]
    except ValueError:
        raise UsageError(f"depths must be whole numbers, got {text}") from None


def _changes(study: Study, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """What the command line changes of a study.

    Raises:
        UsageError: It has no such setting.
    """
    changes = given(options, _OPTIONS) | settings_set(options)
    unknown = [name for name in changes if name not in study.options]
    if unknown:
        known = ", ".join(study.options) or "none"
        raise UsageError(f"{study.name} has no {unknown[0].replace('_', '-')}; it has: {known}")
    return {"threads": threads} | changes if "threads" in study.options else changes


def _plan(study: Study, options: argparse.Namespace, threads: int) -> Any:
    """The runs that the command line asks for."""
    changes, axes = _changes(study, options, threads), dict[str, Any]()
    if "depths" in changes:
        axes["depth"] = _depths(changes.pop("depths"))
    if "epochs" in changes and "epochs" in study.axes:
        axes["epochs"] = [changes.pop("epochs")]
    return study.plan(options.scale, seeds=options.seeds, axes=axes, changes=changes)


def _tuned(
    study: Study, options: argparse.Namespace, place: Place, jobs: int, threads: int
) -> Study:
    """The study at what is best for each model."""
    if study.tuning is None:
        return study
    from torchmomentum.experiments.studies.tuning import tuned

    changes = _changes(study, options, threads)
    how: Any = {"scale": options.scale, "changes": changes, "jobs": jobs, "quiet": options.quiet}
    return tuned(study, study.tuning, place, **how)


def _of_data(study: Study, data: str | None) -> Study:
    """The study, where pictures with a recipe of their own bring it along."""
    if data is None or "recipe" not in study.view:
        return study
    from torchmomentum.experiments.studies.images import whose

    recipe, _ = whose(study.view["recipe"], data)
    return replace(study, view={**study.view, "recipe": recipe})


def _run_all(options: argparse.Namespace) -> None:
    """Computes all studies that can be computed here.

    Raises:
        UsageError: A setting that is not for all.
    """
    from torchmomentum.experiments.studies.everything import plan_all, run_all

    changes, jobs = given(options, _OPTIONS) | settings_set(options), jobs_of(options)
    other = [name for name in changes if name not in _OF_ALL]
    if other:
        raise UsageError(f"all has no {other[0].replace('_', '-')}; it has: {', '.join(_OF_ALL)}")
    out = Path(options.out or f"runs/{ALL}")
    place = place_of(options, out, SHARED)
    threads = {"threads": threads_of(jobs)}
    planned, left = plan_all(options.scale, options.seeds, threads | changes, place)
    for name, why in left.items():
        print(f"{name} is left out: {why}")

    def tell(name: str, error: str | None) -> None:
        print(f"{name} is left out: {error}" if error else f"{name}: written to {out / name}")

    how: Any = {"jobs": jobs, "resume": options.resume, "quiet": options.quiet}
    run_all(planned, place, out, **how, tell=tell)


def run(options: argparse.Namespace) -> None:
    """Computes a study again, or all of them."""
    check_name("study", options.name, (ALL, *STUDIES))
    need_extra()
    if options.name == ALL:
        _run_all(options)
        return
    several = (options.devices or 1) > 1
    jobs = jobs_of(options, alone=several)
    if jobs > 1 and several:
        raise UsageError(f"jobs must be 1 with several devices, got {jobs}")
    study = _of_data(STUDIES.find(options.name), options.data)
    out = Path(options.out or f"runs/{options.name}")
    place, threads = place_of(options, out, SHARED), threads_of(jobs)
    runs = _plan(study, options, threads)
    from torchmomentum.experiments.cli.show import show
    from torchmomentum.experiments.engine.processes import is_first_process
    from torchmomentum.experiments.studies.run import check_out, run_study

    scale, _ = study.edition(options.scale)
    if study.tuning is not None:
        check_out(study, scale, runs, place, out, options.resume)
        study = _tuned(study, options, place, jobs, threads)
        runs = _plan(study, options, threads)
    quiet = options.quiet or not is_first_process()
    results = run_study(
        *(study, runs, place, out),
        scale=scale,
        jobs=jobs,
        resume=options.resume or "tuned" in study.view,  # what was tuned on is there by now
        quiet=quiet,
    )
    if is_first_process():
        show(results, out)
