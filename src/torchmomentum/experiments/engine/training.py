"""Trains one run, from its beginning or from its newest checkpoint."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine.checkpoints import newest_checkpoint, save_checkpoint
from torchmomentum.experiments.engine.compute import folder_of
from torchmomentum.experiments.engine.evaluation import evaluate, run_model, summary, to_device
from torchmomentum.experiments.engine.log import LOG, Log
from torchmomentum.experiments.engine.memory import peak_memory
from torchmomentum.experiments.engine.nt_asgd import NTASGD
from torchmomentum.experiments.engine.optimizers import (
    at_rate,
    build_optimizer,
    build_schedules,
    parameters_of,
)
from torchmomentum.experiments.engine.place import Place, Tell
from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.models import build_model, check_model
from torchmomentum.experiments.recipe import DEVICES, PRECISIONS, Training
from torchmomentum.experiments.result import Result
from torchmomentum.experiments.tasks import task_of

_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}
_EXPLODED = 100.0  # times the first batch's loss


# watch(model, data, inputs, target, step) before a step: what to keep of it, None for nothing
Watch = Callable[[nn.Module, Data, Any, Tensor, int], Any]


class Diverged(Exception):
    """A loss is no longer finite."""


def check(recipe: Training, place: Place) -> None:
    """Rejects settings that this machine or the model cannot run, and missing data.

    Raises:
        UsageError: No GPU or no data is there, or a value is out of its range.
    """
    check_name("device", recipe.device, DEVICES)
    check_name("precision", recipe.precision, PRECISIONS)
    task = task_of(recipe.task)
    check_model(recipe)
    build_optimizer(recipe, [nn.Parameter(torch.zeros(1))])
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda is not available here; use cpu")
    if recipe.device == "cuda" and recipe.devices > torch.cuda.device_count():
        raise UsageError(
            f"devices must be at most the {torch.cuda.device_count()} here, got {recipe.devices}"
        )
    task.check_data(place.data, offline=place.offline)


def _fabric(recipe: Training) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    fabric = Fabric(
        accelerator="gpu" if recipe.device == "cuda" else "cpu",
        devices=recipe.devices,
        strategy="ddp" if recipe.devices > 1 else "auto",
        precision=_PRECISIONS[recipe.precision],
    )
    fabric.launch()
    return fabric


class _Run:
    """A run under way: what a checkpoint holds, and the steps that change it."""

    def __init__(
        self,
        recipe: Training,
        data: Data,
        model: nn.Module,
        fabric: Fabric,
        watch: Watch | None = None,
    ) -> None:
        self.recipe, self.data, self.fabric, self._watch = recipe, data, fabric, watch
        self.records: list[Any] = []  # what was watched
        self.optimizer = build_optimizer(recipe, parameters_of(model))
        self.schedules: Sequence[LRScheduler] = build_schedules(recipe, self.optimizer)
        self.model, self._wrapped = fabric.setup(model, self.optimizer)
        self.epoch = self.step = self.index = 0  # done: of all, and batches of this epoch
        self.history: list[dict[str, float]] = []
        self.loss_sum = self.train_seconds = 0.0
        self.first_loss: float | None = None
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """All that a run depends on after its steps, for a checkpoint."""
        self.gather()
        return {
            "model": self.model.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "epoch": self.epoch,
            "step": self.step,
            "index": self.index,
            "history": self.history,
            "records": self.records,
            "loss_sum": self.loss_sum,
            "first_loss": self.first_loss,
            "train_seconds": self.train_seconds,
            "random_state": torch.get_rng_state(),
            **({"gpu_random_state": torch.cuda.get_rng_state(gpu)} if (gpu := self._gpu) else {}),
        }

    @property
    def _gpu(self) -> torch.device | None:
        device = self.fabric.device
        return device if device.type == "cuda" else None

    def load_state_dict(self, held: dict[str, Any]) -> None:
        """Goes back to where a checkpoint was written."""
        self.model.module.load_state_dict(held["model"])
        self.optimizer.load_state_dict(held["optimizer"])
        for schedule, values in zip(self.schedules, held["schedules"], strict=True):
            schedule.load_state_dict(values)
        for name in ("epoch", "step", "history"):
            setattr(self, name, held[name])
        # checkpoints had no index while all epochs were of one length
        self.index = held.get("index", self.step % len(self.data.train))
        self.records = held.get("records", [])
        for name in ("loss_sum", "first_loss", "train_seconds"):
            setattr(self, name, held[name])
        torch.set_rng_state(held["random_state"])
        if self._gpu and "gpu_random_state" in held:  # which draws dropout
            torch.cuda.set_rng_state(held["gpu_random_state"], self._gpu)

    def gather(self) -> None:
        """Adds the epoch's losses up, in double precision and in order."""
        if self._losses:
            values = torch.stack(self._losses).double().tolist()
            self.first_loss = values[0] if self.first_loss is None else self.first_loss
            for loss in values:
                self.loss_sum += loss
            self._losses.clear()

    def train_step(self, inputs: Any, target: Any) -> None:
        """One step of the optimizer."""
        if self._watch is not None:
            found = self._watch(self.model.module, self.data, inputs, target, self.step)
            self.records += [] if found is None else [found]
        began, device = time.perf_counter(), self.fabric.device
        inputs, target = to_device(inputs, device), to_device(target, device)
        self.optimizer.zero_grad()
        with self.fabric.autocast():
            loss = self.data.loss(run_model(self.model, inputs), target)
        self.fabric.backward(_penalized(loss, self.model.module))
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self._update(target)
        if loss.is_cuda:
            torch.cuda.synchronize(loss.device)
        self.train_seconds += time.perf_counter() - began
        self._losses.append(loss.detach())
        self.step += 1
        self.index += 1

    def _update(self, target: Tensor) -> None:
        if self.data.rate is None:
            self.optimizer.step()
            return
        with at_rate(self.optimizer, self.data.rate(target)):
            self.optimizer.step()

    def end_epoch(self) -> dict[str, float] | None:
        """Evaluates where it is time to; returns the new record of the history.

        Raises:
            Diverged: A loss or a metric is not finite.
        """
        self.gather()
        self.epoch += 1
        train_loss, self.loss_sum, self.index = self.loss_sum / self.index, 0.0, 0
        if self.fabric.world_size > 1:  # all processes are to see the same, and to stop together
            mean: Any = self.fabric.all_reduce(torch.tensor(train_loss), reduce_op="mean")
            train_loss = float(mean)
        found = {"train_loss": train_loss}
        due = self.epoch % self.recipe.evaluate_every == 0 or self.epoch == self.recipe.epochs
        if due:
            found |= self._evaluate()
        if not all(math.isfinite(value) for value in found.values()):
            shown = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in found.items())
            raise Diverged(
                f"training diverged in epoch {self.epoch}: {shown}; "
                "try a smaller --lr or --step-size"
            )
        for schedule in self.schedules:
            schedule.step()
        if not due:
            return None
        record = {"epoch": self.epoch, "step": self.step, **found}
        self.history.append(record | {"train_seconds": self.train_seconds})
        return self.history[-1]

    def _evaluate(self) -> dict[str, float]:
        found: dict[str, float] = {}
        model = self.model.module
        optimizer = self.optimizer
        means = optimizer.averaged() if isinstance(optimizer, NTASGD) else nullcontext()
        with self.fabric.autocast(), means:
            for name, batches in (("validation", self.data.validation), ("test", self.data.test)):
                if batches or name == "test":
                    loss, metric = evaluate(model, batches, self.data, self.fabric.device)
                    found |= {f"{name}_loss": loss, f"{name}_metric": metric}
        if isinstance(optimizer, NTASGD) and "validation_loss" in found:
            optimizer.observe(found["validation_loss"])
        return found


def _fit(run: _Run, folder: Path, every: int, tell: Tell) -> None:
    """Trains a run to its end, with checkpoints."""
    data, writes = run.data, run.fabric.is_global_zero
    words = ""
    with Log(folder / LOG, run.step, writes) as log:
        while run.epoch < run.recipe.epochs:
            data.train.epoch, data.train.start = run.epoch, run.index
            each = len(data.train)
            total = run.step - run.index + each * (run.recipe.epochs - run.epoch)
            for inputs, target in data.train:
                run.train_step(inputs, target)
                tell(words, run.step, total)
                if writes and run.step % every == 0 and run.index < each:
                    save_checkpoint(folder, run.step, run.state_dict())
            record = run.end_epoch()
            if record is not None:
                words = f"{data.metric_name} {record['test_metric']:.4g}"
                log.write(record)
            if writes:
                save_checkpoint(folder, run.step, run.state_dict())
            if record is not None:
                tell.recorded(record)


def _measure_memory(run: _Run) -> int:
    """The peak of one more training step, whose update is thrown away with the model."""
    model, data, recipe = run.model.module, run.data, run.recipe
    optimizer = build_optimizer(recipe, parameters_of(model))
    data.train.epoch = data.train.start = 0
    inputs, target = (to_device(t, run.fabric.device) for t in next(iter(data.train)))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(recipe.device, torch.bfloat16, recipe.precision == "bfloat16"):
            loss = _penalized(data.loss(run_model(model, inputs), target), model)
        loss.backward()
        optimizer.step()

    step()  # makes the optimizer's state, and oneDNN's primitives
    return peak_memory(step, recipe.device)


def _warning(run: _Run) -> str | None:
    if not run.history or run.first_loss is None:
        return None
    last = run.history[-1]["train_loss"]
    if last <= _EXPLODED * max(abs(run.first_loss), 1e-3):
        return None
    return f"training loss exploded: {run.first_loss:.3g} at the first step, {last:.3g} at the end"


def _penalized(loss: Tensor, model: Any) -> Tensor:
    """The loss, and what a model with a method ``training_penalty`` adds to it in training."""
    penalty = getattr(model, "training_penalty", None)
    return loss + penalty() if callable(penalty) else loss


def _columns(history: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {key: [record[key] for record in history] for key in history[0]} if history else {}


def setup(recipe: Training, place: Place) -> tuple[Data, nn.Module]:
    """A run's data and its model, initialized from ``init_seed``."""
    task = task_of(recipe.task)
    check_model(recipe)
    data = task.load(recipe, place.data, offline=place.offline)
    torch.manual_seed(recipe.init_seed)
    return data, build_model(recipe, data)


def trained(
    recipe: Training, place: Place, tell: Tell, watch: Watch | None = None
) -> tuple[_Run, str | None]:
    """Trains a run to its end, or until it diverges; returns the run, and why it ended early."""
    torch.set_num_threads(recipe.threads)
    folder, failed = folder_of(recipe, place), None
    with warnings.catch_warnings():
        # Lightning advises on strategies and devices that were asked for
        warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
        fabric = _fabric(recipe)
        data, model = setup(recipe, place)
        run = _Run(recipe, data, model, fabric, watch)
        held = newest_checkpoint(folder)
        if held is not None:
            run.load_state_dict(held)
        try:
            _fit(run, folder, place.checkpoint_every, tell)
        except Diverged as error:
            failed = str(error)
    return run, failed


def result_of(run: _Run, failed: str | None) -> Result:
    """The numbers of a run of :func:`trained`."""
    costs = {
        "parameters": sum(p.numel() for p in run.model.module.parameters()),
        "train_seconds": run.train_seconds,
        "peak_memory_bytes": _measure_memory(run),
    }
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
