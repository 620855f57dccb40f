"""Trains one run on Lightning, from its beginning or from its newest checkpoint."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

import torchmomentum.optim as topt
from torchmomentum.experiments.configuration import RunConfig
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, write_json
from torchmomentum.experiments.images.recipes import ImageConfig
from torchmomentum.experiments.images.setup import image_optimizer, image_schedules, image_setup
from torchmomentum.experiments.memory import peak_memory
from torchmomentum.experiments.models import build_model, build_rule
from torchmomentum.experiments.provenance import provenance
from torchmomentum.experiments.recorder import Diverged, Progress, Recorder, newest_checkpoint
from torchmomentum.experiments.tasks import Task, build_task

RESULT, CONFIG = "result.json", "config.json"
Config = RunConfig | ImageConfig
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        folder: The run's own folder.
        data: The data folder.
        offline: Does not download what is missing.
        resume: Goes on from what the folder holds.
        checkpoint_every: Steps between checkpoints.
    """

    folder: Path
    data: Path
    offline: bool = False
    resume: bool = False
    checkpoint_every: int = 100


def build_optimizer(config: Config, parameters: Any) -> torch.optim.Optimizer:
    """A run's optimizer, by name."""
    if isinstance(config, ImageConfig):
        return image_optimizer(config, parameters)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, config.lr, alpha=config.alpha)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, config.lr)
    if config.optimizer == "nag":
        return topt.NAG(parameters, config.lr)
    if config.optimizer == "srsgd":
        return topt.SRSGD(parameters, config.lr)
    return torch.optim.SGD(parameters, config.lr, momentum=0.9)


def is_first_process() -> bool:
    """Whether this process writes, of those that Lightning starts to train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


class Learner(pl.LightningModule):
    """A model, its loss, its optimizer and what changes that, as Lightning wants them."""

    def __init__(self, config: Config, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.loss = task.loss

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        x, y = batch
        return self.loss(self.model(x), y)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedules."""
        optimizer = build_optimizer(self.config, self.parameters())
        if not isinstance(self.config, ImageConfig):
            return optimizer
        return [optimizer], list(image_schedules(self.config, optimizer))

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Once an epoch; Lightning does not know the schedules of restarts."""
        scheduler.step()


def _silence_lightning() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # it advises on loader workers and logger intervals, which do not apply to data in memory
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    # Lightning's own use of what torch has deprecated
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def _trainer(config: Config, place: Place, recorder: Recorder) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if config.device == "cuda" else "cpu",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision=_PRECISIONS[config.precision],
        max_epochs=config.epochs,
        gradient_clip_val=config.clip,
        callbacks=[recorder],
        logger=TensorBoardLogger(place.folder, name="", version="tensorboard"),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def check(config: Config) -> None:
    """Refuses, before anything is written, what only the machine and the rules can tell.

    Raises:
        UsageError: No GPU is there, or a hyperparameter is out of its range.
    """
    if isinstance(config, RunConfig):
        build_rule(config)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda is not available here; use cpu")
    if config.device == "cuda" and config.devices > torch.cuda.device_count():
        raise UsageError(
            f"devices must be at most the {torch.cuda.device_count()} here, got {config.devices}"
        )


def check_folder(config: Config, folder: Path, *, resume: bool) -> None:
    """Refuses a run's folder that holds another run, or this one unasked.

    Raises:
        UsageError: It does; the message names the settings that differ.
    """
    path = folder / CONFIG
    if not path.exists() or not is_first_process():
        return
    there, here = read_json(path), config.to_dict()
    if there != here:
        names = [name for name in here if there.get(name) != here[name]]
        shown = ", ".join(f"{name}: {there.get(name)} there, {here[name]} now" for name in names)
        raise UsageError(
            f"{folder} holds a run with other settings ({shown}); give another --out, "
            "for an image run another --runs"
        )
    if not resume:
        raise UsageError(
            f"{folder} holds this run already; give --resume to go on, or another --out"
        )


def _measure_memory(config: Config, learner: Learner, task: Task) -> int:
    """The peak of one more training step, whose update is thrown away with the model."""
    learner.to("cuda" if config.device == "cuda" else "cpu")
    optimizer = build_optimizer(config, learner.parameters())
    task.train.start = 0
    x, y = (t.to(learner.device) for t in next(iter(task.train)))
    autocast = torch.autocast(config.device, torch.bfloat16, config.precision == "bfloat16")

    def step() -> None:
        optimizer.zero_grad()
        with autocast:
            loss = learner.loss(learner.model(x), y)
        loss.backward()
        optimizer.step()

    step()  # makes the optimizer's state, and oneDNN's primitives
    return peak_memory(step, config.device)


def _summary(history: list[dict[str, float]], task: Task) -> dict[str, float]:
    """The test metric at its best, at the end, and where the validation metric was best.

    Where nothing is held out for validation, the end is what is chosen.
    """
    better = max if task.higher_is_better else min
    chosen = history[-1]
    if task.validation:
        chosen = better(history, key=lambda record: record["validation_metric"])
    return {
        "best": better(record["test_metric"] for record in history),
        "last": history[-1]["test_metric"],
        "chosen": chosen["test_metric"],
        "chosen_epoch": chosen["epoch"],
    }


def _fit(config: Config, recorder: Recorder, learner: Learner, task: Task, place: Place) -> None:
    checkpoint = newest_checkpoint(place.folder) if place.resume else None
    with warnings.catch_warnings():
        _silence_lightning()
        trainer = _trainer(config, place, recorder)
        trainer.fit(learner, task.train, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt


def _setup(config: Config, place: Place) -> tuple[Task, nn.Module]:
    if isinstance(config, ImageConfig):
        return image_setup(config, place.data, offline=place.offline)
    task = build_task(config, place.data, offline=place.offline)
    return task, build_model(config, task.input_size, task.output_size, task.each_step)


def train(config: Config, place: Place, progress: Progress | None = None) -> dict[str, Any]:
    """Trains a run and writes its ``result.json``.

    Args:
        config: The run.
        place: Where it reads and writes.
        progress: Told of every step: a few words, the steps done, the steps in all.

    Returns:
        What is in the file: configuration, history, summary, costs, provenance.

    Raises:
        Diverged: Training did; what happened until then is in the file, with no summary.
        UsageError: Data is missing, or the folder holds something else.
        KeyboardInterrupt: The user stopped it; the last checkpoint is there to go on from.
    """
    check(config)
    result_path = place.folder / RESULT
    check_folder(config, place.folder, resume=place.resume)
    if place.resume and result_path.exists():
        return _finished(read_json(result_path))
    torch.set_num_threads(config.threads)
    task, model = _setup(config, place)
    if is_first_process():
        write_json(place.folder / CONFIG, config.to_dict())
    learner = Learner(config, model, task)
    recorder = Recorder(task, task.train, place.folder, place.checkpoint_every, progress)
    diverged = None
    try:
        _fit(config, recorder, learner, task, place)
    except Diverged as error:
        diverged = str(error)
    result: dict[str, Any] = {
        "config": config.to_dict(),
        "metric": task.metric_name,
        "higher_is_better": task.higher_is_better,
        "diverged": diverged,
        "summary": None if diverged else _summary(recorder.history, task),
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_seconds": recorder.train_seconds,
        "peak_memory_bytes": _measure_memory(config, learner, task),
        "history": recorder.history,
        "provenance": provenance(),
    }
    if is_first_process():
        write_json(result_path, result)
    return _finished(result)


def _finished(result: dict[str, Any]) -> dict[str, Any]:
    if result.get("diverged"):
        raise Diverged(result["diverged"], result)
    return result
