"""What folders hold: studies' results, and runs that are done, under way or failed. Reads only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torchmomentum.experiments.engine.compute import RECIPE, RESULT
from torchmomentum.experiments.engine.log.to_tensorboard import LOG, read_log
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json
from torchmomentum.experiments.recipe import key_of
from torchmomentum.experiments.report.html.runs import DONE, FAILED, UNDER_WAY, Run
from torchmomentum.experiments.result import Result, Results
from torchmomentum.experiments.studies.run import RESULTS, load_results


@dataclass
class Recorded:
    """What was found.

    Attributes:
        studies: Results, with the files that they are of.
        runs: Runs that are in none of them.
        damaged: A line for each file that could not be read.
    """

    studies: list[tuple[str, Results]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def _files(path: Path) -> Iterator[Path]:
    """The results and the recipes of runs below a folder, in order."""
    for folder, inside, names in os.walk(path):
        inside.sort()
        for name in (RESULTS, RECIPE):
            if name in names:
                yield Path(folder, name)
        if RECIPE in names:  # a run's own folder holds no others
            inside.clear()


def _written(folder: Path) -> float:
    """When something of a run was last written, its lock aside."""
    times = [0.0]
    for path in folder.glob("**/*"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:  # a checkpoint that has just been removed
            continue
    return max(times)


def _run(recipe: Path) -> Run:
    """A run from its folder.

    Raises:
        UsageError: A file holds something else.
    """
    folder = recipe.parent
    when = datetime.fromtimestamp(_written(folder), timezone.utc)
    written = when.strftime("%Y-%m-%d %H:%M UTC")
    if (folder / RESULT).exists():
        result = Result.from_dict(read_json(folder / RESULT), str(folder / RESULT))
        return Run(FAILED if result.failed else DONE, result, written)
    settings = read_json(recipe)
    if not isinstance(settings, dict):
        raise UsageError(f"{recipe} is not a recipe")
    curves: dict[str, Any] = read_log(folder / LOG)
    if "epoch" in curves:
        curves["epoch"] = [int(epoch) for epoch in curves["epoch"]]
    return Run(UNDER_WAY, Result(recipe=settings, curves=curves), written)


def _find(file: Path, found: Recorded) -> None:
    try:
        if file.name == RECIPE:
            found.runs.append(_run(file))
        else:
            found.studies.append((str(file), load_results(file)))
    except (UsageError, OSError) as error:
        found.damaged.append(str(error).splitlines()[0])


def find(paths: Sequence[Path], *, strict: bool = True) -> Recorded:
    """What lies at some paths and below them; a damaged file is a line among ``damaged``.

    Args:
        paths: Files with results, folders of a study, folders of runs, or folders of such.
        strict: Rejects a damaged file that is a path's own.

    Raises:
        UsageError: Results that a path names cannot be read, and ``strict``.
    """
    found, seen = Recorded(), set[Path]()
    for path in paths:
        named = path if not path.is_dir() else path / RESULTS
        if strict and (named.exists() or not path.is_dir()):
            load_results(named)
        for file in _files(path) if path.is_dir() else (path,):
            if file.resolve() not in seen:
                seen.add(file.resolve())
                _find(file, found)
    studies = [results for _, results in found.studies]
    gathered = {key_of(run.recipe) for results in studies for run in results.runs}
    gathered |= {name.rpartition("-")[2] for s in studies for name in s.view.get("trial_runs", ())}
    found.runs = [run for run in found.runs if key_of(run.result.recipe) not in gathered]
    return found


def version(paths: Sequence[Path]) -> str:
    """A word that changes when any of the files does that :func:`find` reads."""
    told = hashlib.sha256()
    for path in paths:
        for file in (path,) if path.is_file() else _files(path):
            parts = [file, file.parent / RESULT, *sorted((file.parent / LOG).glob("*"))]
            for part in parts if file.name == RECIPE else [file]:
                try:
                    state = part.stat()
                except OSError:
                    continue
                told.update(f"{part}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return told.hexdigest()[:16]
