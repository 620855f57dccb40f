"""Computes one recipe, or finds it computed: the folder of runs.

A run's folder is named by the hash of its recipe, so that studies which need the same run share it.
Whoever computes a run holds its lock, which the system gives back if the process dies: several
processes may work on one folder. ``result.json`` is written last; what a computation keeps to go on
from (checkpoints) lies beside it.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from torchmomentum.experiments.engine.checkpoints import Checkpoint, checkpoints, newest_checkpoint
from torchmomentum.experiments.engine.place import Place, Tell, silent
from torchmomentum.experiments.engine.processes import agreed, is_first_process
from torchmomentum.experiments.engine.provenance import provenance
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, remove_temporaries, write_json
from torchmomentum.experiments.recipe import Recipe
from torchmomentum.experiments.registry import attribute
from torchmomentum.experiments.result import Result

_HOW = ("devices", "nodes", "strategy", "accumulate")  # a run is computed, not what
_log = logging.getLogger(__name__)
RESULT, RECIPE, LOCK = "result.json", "recipe.json", ".lock"


class Busy(Exception):
    """Another process computes this run."""


def folder_of(recipe: Recipe, place: Place) -> Path:
    """A run's own folder."""
    return place.runs / recipe.folder


def finished(recipe: Recipe, place: Place) -> Result | None:
    """The result of a run that is done, else None."""
    path = folder_of(recipe, place) / RESULT
    return Result.from_dict(read_json(path), str(path)) if path.exists() else None


def begun(recipe: Recipe, place: Place) -> bool:
    """Whether the folder of runs holds something of this one."""
    return (folder_of(recipe, place) / RECIPE).exists()


def of_other_devices(recipe: Recipe, place: Place) -> tuple[Checkpoint | None, str]:
    """The furthest checkpoint of the same training on other devices, and its recipe's key."""
    same = {**recipe.to_dict(), **dict.fromkeys(_HOW)}
    found: list[tuple[str, Checkpoint, str]] = []
    for path in place.runs.glob(f"{glob.escape(recipe.label)}-*/{RECIPE}"):
        if path.parent == folder_of(recipe, place):
            continue
        held = read_json(path)
        if isinstance(held, dict) and {**held, **dict.fromkeys(_HOW)} == same:
            newest = newest_checkpoint(path.parent)
            if newest is not None:
                found.append((newest.path.name, newest, path.parent.name.rpartition("-")[2]))
    if not found:
        return None, recipe.key
    _, furthest, key = max(found, key=lambda each: each[0])
    _log.warning("the run goes on from %s, of other devices", furthest.path)
    return furthest, key


def _taken(lock: FileLock) -> bool:
    """Whether this process has the lock now; of those that train together, one has it for all."""
    if is_first_process():
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
    return True


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    if not agreed(lambda: _taken(lock)):
        raise Busy(str(folder))
    try:
        if is_first_process():
            remove_temporaries(folder)  # of a process that was killed
        yield
    finally:
        lock.release()


def forget(recipe: Recipe, place: Place) -> None:
    """Removes a run's result and checkpoints: it is to be computed anew.

    What another process computes now is left to it: that is new.
    """
    folder = folder_of(recipe, place)
    with suppress(Busy), _held(folder):
        for path in (folder / RESULT, *checkpoints(folder)):
            path.unlink(missing_ok=True)


def compute(recipe: Recipe, place: Place, tell: Callable[[str, int, int], None] = silent) -> Result:
    """Computes a run and writes its ``result.json``, or reads it where it is there.

    Args:
        recipe: What to compute.
        place: Where.
        tell: Told how far it is; a :class:`~.place.Tell` hears what a training reaches as well.

    Raises:
        Busy: Another process is at it.
        UsageError: Data is missing, or a file is damaged.
    """
    told, folder = tell if isinstance(tell, Tell) else Tell(tell), folder_of(recipe, place)
    if folder.parent.exists() and not folder.parent.is_dir():
        raise UsageError(f"{folder.parent} is a file; give another folder")
    with _held(folder):
        done = agreed(lambda: finished(recipe, place))
        if done is not None:
            return done
        values: dict[str, Any] = recipe.to_dict()
        new = not begun(recipe, place)
        if is_first_process():
            write_json(folder / RECIPE, values)
        try:
            result: Result = attribute(recipe.computation)(recipe, place, told)
        except UsageError:
            if new:  # nothing was computed: the folder is not to look begun
                (folder / RECIPE).unlink(missing_ok=True)
            raise
        result.recipe, result.provenance = values, provenance()
        if is_first_process():
            write_json(folder / RESULT, result.to_dict())
    return result
