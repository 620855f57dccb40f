"""Comparisons from Python, on the package's tasks or on one's own data and modules."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import MODELS, TASKS
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.compare import (
    cell_of,
    comparison,
    expand,
    named,
    with_controls,
)
from torchmomentum.experiments.studies.run import check_out, run_study
from torchmomentum.experiments.studies.search import Search, searched
from torchmomentum.experiments.sweeps.space import parse
from torchmomentum.experiments.sweeps.storage import journal_of
from torchmomentum.experiments.tasks import Task
from torchmomentum.experiments.tasks.own import OwnData


def _task(task: Any) -> tuple[str, dict[str, Task]]:
    """The name that the engine finds a task by, and what to know under it meanwhile."""
    if isinstance(task, str):
        return task, {}
    if isinstance(task, (tuple, list)):
        if len(task) not in (2, 3):
            raise UsageError(
                f"loaders must be (train, test) or (train, validation, test), got {len(task)}"
            )
        task = OwnData(task[0], task[-1], task[1] if len(task) == 3 else None)
    if isinstance(task, type) and issubclass(task, Task):
        task = task()
    if not isinstance(task, Task):
        raise UsageError(f"task must be a name, a Task or loaders, got {type(task).__name__}")
    name = getattr(task, "name", None) or type(task).__name__
    return name, {name: task}


def _models(models: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """What each model is called and its name; and objects to know under their names meanwhile."""
    if not isinstance(models, Mapping):
        listed = [models] if isinstance(models, str) else list(models)
        names = [m if isinstance(m, str) else getattr(m, "__name__", "") for m in listed]
        for name, made in zip(names, listed, strict=True):
            if not name:
                _check_made(made)
                raise UsageError(f"a {type(made).__name__} has no name: give a mapping of names")
        models = dict(zip(named(names), listed, strict=True))
    own = {name: made for name, made in models.items() if not isinstance(made, str)}
    for made in own.values():
        _check_made(made)
    return {name: name if name in own else made for name, made in models.items()}, own


def _check_made(made: Any) -> None:
    if isinstance(made, nn.Module):
        raise UsageError(
            "a model must be made anew for each run: pass its class or a function, "
            f"got a {type(made).__name__}"
        )


def compare(
    task: Any,
    models: Any = ("lstm", "momentum-lstm", "rmsprop-lstm"),
    *,
    rules: Sequence[str] = (),
    controls: bool = False,
    tune: int | None = None,
    space: str | Sequence[str] = (),
    seeds: int = 3,
    scale: str = "desk",
    out: str | Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    quiet: bool = False,
    data_dir: str | Path | None = None,
    offline: bool = False,
    **changes: Any,
) -> Results:
    """Trains models on the same data, in the same order, for the same budget, over several seeds.

    Args:
        task: A name (``"pdigits"``), a :class:`~torchmomentum.experiments.Task`, or your loaders:
            ``(train, test)`` or ``(train, validation, test)``. Each gives ``(x, y)`` or
            ``(x, lengths, y)`` with ``x`` of shape ``(B, T, I)``. For another loss, metric or
            layout make a :class:`~torchmomentum.experiments.OwnData` of them.
        models: Names, modules' classes or functions that make modules; or a mapping of names to
            them. The first is the baseline. A class is called with what its signature names of
            ``input_size``, ``output_size``, ``each_step``, ``hidden_size``; its other arguments
            with defaults are options.
        rules: Momentum rules that the first cell is tried with: ``"adam"``, ``"momentum"``.
        controls: Adds the models that change the scale of the drive and have no momentum.
        tune: Gives each model so many trials of its learning rate and its momentum's
            hyperparameters, on validation samples, and compares all at their best.
        space: What ``tune`` tries instead: ``["lr=1e-4:1e-2:log", "mu=0.3,0.6"]``, as ``--space``.
        seeds: Seeds 0 to ``seeds - 1``.
        scale: ``smoke``, ``desk`` or ``paper``: which of a task's recipes.
        out: The folder for results, tables, figures and runs; None uses one that is removed.
        resume: Goes on from what ``out`` holds.
        jobs: Runs at a time, each in a process of its own; your own objects need 1.
        quiet: Shows no progress.
        data_dir: The data folder.
        offline: Does not download what is missing.
        changes: What differs from the task's recipe: ``epochs=5``, ``lr=1e-3``, ``hidden_size=32``,
            ``mu=0.3``. A list of an option of models or rules compares its values:
            ``mu=[0.3, 0.6]``, and so does ``optimizer=["sgd", "srsgd"]`` each model's optimizers.

    Returns:
        The results: ``torchmomentum.experiments.report.document.document`` makes the table.

    Raises:
        UsageError: An unknown name, a value out of its range, or a folder that holds other
            results.
    """
    from torchmomentum.experiments.data.folder import data_folder

    if space and tune is None:
        raise UsageError("space is what tune tries; give tune too")
    for what, count in (("jobs", jobs), ("seeds", seeds)):
        if type(count) is not int or count < 1:
            raise UsageError(f"{what} must be a whole number of at least 1, got {count!r}")
    name, tasks = _task(task)
    called, own = _models(models)
    if jobs > 1 and (tasks or own):
        raise UsageError(
            "jobs must be 1 where tasks or models are objects: other processes lack them"
        )
    with TASKS.lend(tasks), MODELS.lend(own), tempfile.TemporaryDirectory() as spare:
        if rules:
            called |= named([f"{rule}-{cell_of(called.values())}" for rule in rules])
        called = with_controls(called) if controls else called
        lists = {k: v for k, v in changes.items() if isinstance(v, (list, tuple))}
        optimizers = lists.pop("optimizer", ())
        once = {k: v for k, v in changes.items() if not isinstance(v, (list, tuple))}
        arms = expand(called, lists)
        study, runs = comparison(
            name, arms, scale=scale, seeds=seeds, changes=once, optimizers=optimizers
        )
        folder = Path(spare if out is None else out)
        place = Place(
            runs=folder / "runs",
            data=data_folder(None if data_dir is None else str(data_dir)),
            offline=offline,
        )
        if tune is not None:
            check_out(study, scale, runs, place, folder, resume)
            tried = parse([space] if isinstance(space, str) else space) or None
            storage = journal_of(place)
            study = searched(study, Search(tune, tried), place, storage, jobs=jobs, quiet=quiet)
            runs = study.plan(seeds=seeds)
        return run_study(
            study,
            runs,
            place,
            folder,
            scale=scale,
            jobs=jobs,
            resume=resume or tune is not None,  # what was tuned on is there by now
            quiet=quiet,
            command=["torchmomentum.experiments.compare(...)"],
        )
