"""Trains one run, from its beginning or from its newest checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine import stopping
from torchmomentum.experiments.engine.checkpoints import (
    newest_checkpoint,
    refused,
    save_checkpoint,
)
from torchmomentum.experiments.engine.compute import folder_of, of_other_devices
from torchmomentum.experiments.engine.devices import check_devices, end_others, launch
from torchmomentum.experiments.engine.evaluation import run_model, summary
from torchmomentum.experiments.engine.log import Log, check_logs
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.experiments.engine.nonfinite import Diverged, nonfinite_parameter
from torchmomentum.experiments.engine.optimizers import (
    build_optimizer,
    parameters_of,
    schedule_of,
)
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.engine.run import NotOurs, TrainingRun, Watch, penalized
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.models import build_model, check_model
from torchmomentum.experiments.recipe import ON_NONFINITE, Recipe, Training
from torchmomentum.experiments.result import NONE_HELD_OUT, Result
from torchmomentum.experiments.tasks import task_of
from torchmomentum.ops import available

_WITH_KERNELS = ("torchmomentum.nn.", "torchmomentum.optim.")
_EXPLODED = 100.0  # times the first batch's loss


def check(recipe: Training, place: Place) -> None:
    """Rejects settings that this machine or the model cannot run, and missing data.

    Raises:
        UsageError: No GPU or no data is there, or a value is out of its range.
    """
    check_devices(recipe)
    check_logs(place.logs)
    check_name("on_nonfinite", recipe.on_nonfinite, ON_NONFINITE)
    task = task_of(recipe.task)
    check_model(recipe)
    build_optimizer(recipe, [nn.Parameter(torch.zeros(1))])
    schedule_of(recipe)
    task.check_data(place.data, offline=place.offline)


def check_held_out(recipes: Iterable[Recipe], place: Place) -> None:
    """Rejects trainings that hold out nothing to tune on, before one is trained.

    Raises:
        UsageError: One does.
    """
    trainings = [recipe for recipe in recipes if isinstance(recipe, Training)]
    for recipe in {(r.task, str(r.task_options)): r for r in trainings}.values():
        if not task_of(recipe.task).load(recipe, place.data, offline=place.offline).validation:
            raise UsageError(NONE_HELD_OUT)


def _save(run: TrainingRun, folder: Path) -> None:
    """Writes a checkpoint; weights that are not finite are none to go on from."""
    finite = nonfinite_parameter(run.model.module) is None  # all processes ask
    held = run.state_dict()
    if run.fabric.is_global_zero and finite:
        save_checkpoint(folder, run.step, held)


def _end_if_asked(run: TrainingRun, folder: Path) -> None:
    """Ends this process where the system asked it to.

    Raises:
        Terminated: It did.
    """
    if run.must_end or (run.fabric.world_size == 1 and stopping.asked()):
        _save(run, folder)
        raise stopping.Terminated


def _epoch(run: TrainingRun, folder: Path, every: int, tell: Tell, words: str) -> None:
    """The steps of an epoch that are left, with checkpoints."""
    stream = run.data.train
    stream.epoch, stream.start = run.epoch, run.index
    each = len(stream)
    total = run.step - run.index + each * (run.recipe.epochs - run.epoch)
    for inputs, target in stream:
        run.train_step(inputs, target)
        if run.index < each:
            _end_if_asked(run, folder)  # before others hear of it, who may have ended
        tell(words, run.step, total)
        if run.index < each and run.step % every == 0:
            _save(run, folder)


def _fit(run: TrainingRun, place: Place, tell: Tell) -> None:
    """Trains a run to its end."""
    folder, words, writes = folder_of(run.recipe, place), "", run.fabric.is_global_zero
    with (
        Log(run.recipe, folder, run.history, place.logs, writes) as log,
        stopping.until_next_step(),
    ):
        if run.history:  # it may have ended before others heard of its last epoch
            tell.recorded(run.history[-1])
        while run.epoch < run.recipe.epochs:
            _epoch(run, folder, place.checkpoint_every, tell, words)
            record = run.end_epoch()
            if record is not None:
                words = f"{run.data.metric_name} {record['test_metric']:.4g}"
                log.write(record)
            _save(run, folder)
            _end_if_asked(run, folder)
            if record is not None:
                tell.recorded(record)


def _measure_memory(run: TrainingRun) -> int:
    """The peak of one more training step, whose update is thrown away with the model."""
    model, data, recipe = run.model.module, run.data, run.recipe
    optimizer = build_optimizer(recipe, parameters_of(model))
    data.train.epoch = data.train.start = 0
    inputs, target = run.passes(*map(run.on_device, next(iter(data.train))))[0]

    def step() -> None:
        optimizer.zero_grad()
        with run.fabric.autocast():
            output = run_model(model, run.as_trained(inputs))
            loss = penalized(data.loss(output, target), model)
        loss.backward()
        optimizer.step()

    step()  # makes the optimizer's state, and oneDNN's primitives
    return peak_memory(step, recipe.device)


def _warning(run: TrainingRun) -> str | None:
    found = []
    if run.skipping is not None and run.skipping.count:
        found.append(f"{run.skipping.count} steps were skipped: loss or gradient not finite")
    if run.history and run.first_loss is not None:
        first, last = run.first_loss, run.history[-1]["train_loss"]
        if last > _EXPLODED * max(abs(first), 1e-3):
            found.append(
                f"training loss exploded: {first:.3g} at the first step, {last:.3g} at the end"
            )
    return "; ".join(found) or None


def _columns(history: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {key: [record[key] for record in history] for key in history[0]} if history else {}


def setup(recipe: Training, place: Place) -> tuple[Data, nn.Module]:
    """A run's data and its model, initialized from ``init_seed``."""
    task = task_of(recipe.task)
    check_model(recipe)
    data = task.load(recipe, place.data, offline=place.offline)
    torch.manual_seed(recipe.init_seed)
    return data, build_model(recipe, data)


def _build_kernels(run: TrainingRun) -> None:
    """Builds the CPU kernels of what has some: else the first run's time would have it within."""
    parts = [run.optimizer, *run.model.module.modules()]
    if any(type(each).__module__.startswith(_WITH_KERNELS) for each in parts):
        available()


def _go_on(run: TrainingRun, place: Place) -> None:
    """Goes on from the newest checkpoint, where there is one: the first process reads it for all.

    Raises:
        UsageError: It is not this run's.
    """
    found, key = None, run.recipe.key
    if run.fabric.is_global_zero:
        found = newest_checkpoint(folder_of(run.recipe, place))
        if found is None and place.resume:
            found, key = of_other_devices(run.recipe, place)
    found, key = run.fabric.broadcast((found, key))
    if found is not None:
        try:
            run.load_state_dict(found.values, key)
        except NotOurs as error:
            raise refused(found.path, str(error)) from error


def trained(
    recipe: Training, place: Place, tell: Tell, watch: Watch | None = None
) -> tuple[TrainingRun, str | None]:
    """Trains a run to its end, or until it diverges; returns the run, and why it ended early."""
    torch.set_num_threads(recipe.threads)
    failed = None
    with warnings.catch_warnings():
        # Lightning advises on strategies and devices that were asked for
        warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
        fabric = launch(recipe)
        data, model = setup(recipe, place)
        try:
            run = TrainingRun(recipe, data, model, fabric, watch)
            _build_kernels(run)
            _go_on(run, place)
            _fit(run, place, tell)
        except Diverged as error:
            failed = str(error)
        except BaseException:
            end_others(fabric)
            raise
    return run, failed


def result_of(run: TrainingRun, failed: str | None) -> Result:
    """The numbers of a run of :func:`trained`."""
    costs = {
        "parameters": sum(p.numel() for p in run.model.module.parameters()),
        "train_seconds": run.train_seconds,
        "peak_memory_bytes": _measure_memory(run),
    }
    if run.skipping is not None:
        costs["skipped_steps"] = run.skipping.count
    return Result(
        recipe={},
        values={} if failed else summary(run.history, run.data),
        curves=_columns(run.history),
        costs=costs,
        failed=failed,
        warning=None if failed else _warning(run),
    )


def train(recipe: Training, place: Place, tell: Tell) -> Result:
    """Trains a run.

    Args:
        recipe: The run.
        place: Where it reads and writes.
        tell: Told of every step.

    Returns:
        Its numbers; where training diverged, what happened until then and why it ended.

    Raises:
        UsageError: Data is missing, or sizes do not fit it.
    """
    return result_of(*trained(recipe, place, tell))
