"""Comparisons from Python, on the package's tasks or on one's own data and modules."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import Model, model_of
from torchmomentum.experiments.registry import MODELS, TASKS
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.compare import comparison, with_controls
from torchmomentum.experiments.studies.run import run_study
from torchmomentum.experiments.study import Run
from torchmomentum.experiments.tasks import Task
from torchmomentum.experiments.tasks.own import OwnData


def _task(task: Any) -> tuple[str, dict[str, str]]:
    """The name that the engine finds a task by, and its fingerprint."""
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
    TASKS.replace(name, task)
    return name, {name: task.fingerprint()} if isinstance(task, OwnData) else {}


def _models(models: Any, rules: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names that the engine finds models by, and checksums of what is no name.

    Rules are those of the first model's cell.
    """
    sources: dict[str, str] = {}
    if not isinstance(models, Mapping):
        listed = [models] if isinstance(models, str) else list(models)
        models = {m if isinstance(m, str) else m.__name__: m for m in listed}
    for name, made in models.items():
        if isinstance(made, str):
            if made != name:
                MODELS.replace(name, model_of(made))
        else:
            MODELS.replace(name, made if isinstance(made, Model) else _made(made))
            sources[name] = _source(made)
    names = list(models)
    cell = names[0].partition("@")[0].rpartition("-")[2] if names else "lstm"
    return [*names, *(f"{rule}-{cell}" for rule in rules)], sources


def _source(made: Any) -> str:
    """A checksum of the file that defines an object, so that an edited one is another run's."""
    try:
        file = inspect.getsourcefile(made)
    except TypeError:  # defined in C, or an object
        file = None
    return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()[:16]


def _made(made: Any) -> Any:
    if isinstance(made, nn.Module):
        raise UsageError(
            "a model must be made anew for each run: pass its class or a function, "
            f"got a {type(made).__name__}"
        )
    return made


def _marked(run: Run, sources: Mapping[str, str]) -> Run:
    """A run whose recipe knows the checksums of the objects that it names."""
    recipe: Any = run.recipe
    mine = {name: sources[name] for name in (recipe.task, recipe.model) if name in sources}
    if not mine:
        return run
    recipe = dataclasses.replace(recipe, sources={**recipe.sources, **mine})
    return dataclasses.replace(run, recipe=recipe)


def compare(
    task: Any,
    models: Any = ("lstm", "momentum-lstm", "rmsprop-lstm"),
    *,
    rules: Sequence[str] = (),
    controls: bool = False,
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
        rules: Momentum rules that the first model's cell is tried with: ``"adam"``, ``"momentum"``.
        controls: Adds the models that change the scale of the drive and have no momentum.
        seeds: Seeds 0 to ``seeds - 1``.
        scale: ``smoke``, ``desk`` or ``paper``: which of a task's recipes.
        out: The folder for results, tables, figures and runs; None uses one that is removed.
        resume: Goes on from what ``out`` holds.
        jobs: Runs at a time, each in a process of its own; your own objects need 1.
        quiet: Shows no progress.
        data_dir: The data folder.
        offline: Does not download what is missing.
        changes: What differs from the task's recipe: ``epochs=5``, ``lr=1e-3``, ``hidden_size=32``,
            ``mu=0.3``.

    Returns:
        The results: ``torchmomentum.experiments.report.document.document`` makes the table.

    Raises:
        UsageError: An unknown name, a value out of its range, or a folder that holds other
            results.
    """
    from torchmomentum.experiments.data.folder import data_folder

    name, prints = _task(task)
    names, sources = _models(models, rules)
    names = with_controls(names) if controls else names
    named = isinstance(task, str) and not isinstance(models, Mapping)
    if jobs > 1 and not (named and all(isinstance(model, str) for model in models)):
        raise UsageError(
            "jobs must be 1 where tasks or models are objects: other processes lack them"
        )
    study, runs = comparison(name, names, scale=scale, seeds=seeds, changes=changes)
    runs = [_marked(run, prints | sources) for run in runs]
    with tempfile.TemporaryDirectory() as spare:
        folder = Path(spare if out is None else out)
        place = Place(
            runs=folder / "runs",
            data=data_folder(None if data_dir is None else str(data_dir)),
            offline=offline,
        )
        return run_study(
            study,
            runs,
            place,
            folder,
            scale=scale,
            jobs=jobs,
            resume=resume,
            quiet=quiet,
            command=["torchmomentum.experiments.compare(...)"],
        )
