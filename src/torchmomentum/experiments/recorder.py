"""What happens around the training steps: evaluation, history, checkpoints, progress."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from torchmomentum.experiments.batches import Batch, BatchStream
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import write_with
from torchmomentum.experiments.tasks import Task

_KEPT = 2  # checkpoints, so that a damaged one has another behind it
_NAME = re.compile(r"step-(\d+)\.ckpt")

Progress = Callable[[str, int, int], None]  # what is done, of how many, in words


class Diverged(UsageError):
    """A loss is no longer finite. Has the run's result as a second argument where there is one."""


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the newest first."""
    found = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(found, reverse=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that can be read, None where there is none."""
    for path in checkpoints(folder):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the one before may be right
            continue
        return path
    return None


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[Batch], task: Task, device: torch.device
) -> tuple[float, float]:
    """Mean loss and metric over batches, weighted by their sizes."""
    model.eval()
    totals = torch.zeros(2, dtype=torch.float64)
    samples = 0
    for x, y in batches:
        output, target = model(x.to(device)).float(), y.to(device)
        count = x.shape[task.batch_dim]
        values = torch.stack([task.loss(output, target), task.metric(output, target)])
        totals += values.double().cpu() * count
        samples += count
    model.train()
    loss, metric = (totals / samples).tolist()
    return loss, metric


class Recorder(pl.Callback):
    """Keeps a run's history and makes it resumable bit for bit.

    A checkpoint holds, besides what Lightning puts there, the history, the sum of losses of the
    epoch under way and the state of torch's random numbers. The position in the data follows from
    the trainer's own counter.

    Args:
        task: What to evaluate on.
        batches: The training batches, positioned here.
        folder: Where checkpoints go.
        checkpoint_every: Steps between them; the end of each epoch has one always.
        progress: Told of every step.
    """

    def __init__(
        self,
        task: Task,
        batches: BatchStream,
        folder: Path,
        checkpoint_every: int,
        progress: Progress | None = None,
    ) -> None:
        self.task = task
        self.batches = batches
        self.folder = folder
        self.checkpoint_every = checkpoint_every
        self.progress = progress
        self.history: list[dict[str, float]] = []
        self.loss_sum = 0.0
        self.train_seconds = 0.0
        self._losses: list[Tensor] = []
        self._began = 0.0
        self._restored_random_state: Tensor | None = None

    # --- what a checkpoint holds ------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint."""
        self._gather()
        return {
            "history": self.history,
            "loss_sum": self.loss_sum,
            "train_seconds": self.train_seconds,
            "random_state": torch.get_rng_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From Lightning's checkpoint."""
        self.history = state_dict["history"]
        self.loss_sum = state_dict["loss_sum"]
        self.train_seconds = state_dict["train_seconds"]
        self._restored_random_state = state_dict["random_state"]

    def _gather(self) -> None:
        """Adds the epoch's losses up, in double precision and in order."""
        if self._losses:
            for loss in torch.stack(self._losses).double().tolist():
                self.loss_sum += loss
            self._losses.clear()

    # --- around the training --------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts data and random numbers back where the checkpoint had them."""
        if self._restored_random_state is None:
            return
        torch.set_rng_state(self._restored_random_state)
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        self.batches.epoch, self.batches.start = trainer.current_epoch, done % len(self.batches)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Positions the data at an epoch's first batch; one resumed midway does not come here."""
        self.batches.epoch, self.batches.start = trainer.current_epoch, 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Notes the loss, and keeps a checkpoint now and then."""
        loss = outputs["loss"].detach()
        if loss.is_cuda:
            torch.cuda.synchronize(loss.device)
        self.train_seconds += time.perf_counter() - self._began
        self._losses.append(loss)
        total = len(self.batches) * (trainer.max_epochs or 1)
        if self.progress is not None:
            last = self.history[-1]["test_metric"] if self.history else None
            shown = "" if last is None else f"{self.task.metric_name} {last:.4g}"
            self.progress(shown, trainer.global_step, total)
        inside = (batch_idx + 1) % len(self.batches) != 0
        if inside and trainer.global_step % self.checkpoint_every == 0:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluates, and keeps a checkpoint."""
        self._gather()
        epoch, train_loss = trainer.current_epoch + 1, self.loss_sum / len(self.batches)
        self.loss_sum = 0.0
        if trainer.world_size > 1:  # all processes are to see the same, and to stop together
            mean = trainer.strategy.reduce(torch.tensor(train_loss, device=pl_module.device))
            train_loss = float(mean)
        found = {"train_loss": train_loss}
        evaluated = epoch % self.task.evaluate_every == 0 or epoch == trainer.max_epochs
        if evaluated:
            found |= self._evaluate(trainer, pl_module)
        if not all(math.isfinite(value) for value in found.values()):
            shown = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in found.items())
            raise Diverged(
                f"training diverged in epoch {epoch}: {shown}; try a smaller --lr or --step-size"
            )
        if evaluated:
            record = {"epoch": epoch, "step": trainer.global_step, **found}
            self.history.append(record | {"train_seconds": self.train_seconds})
            for logger in trainer.loggers:
                logger.log_metrics(self.history[-1], step=trainer.global_step)
        self._save(trainer)

    def _evaluate(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float]:
        model = cast("nn.Module", pl_module.model)
        found: dict[str, float] = {}
        with trainer.precision_plugin.forward_context():
            for name, batches in (("validation", self.task.validation), ("test", self.task.test)):
                if batches or name == "test":
                    loss, metric = evaluate(model, batches, self.task, pl_module.device)
                    found |= {f"{name}_loss": loss, f"{name}_metric": metric}
        return found

    def _save(self, trainer: pl.Trainer) -> None:
        path = self.folder / f"step-{trainer.global_step:09d}.ckpt"
        if not trainer.is_global_zero:  # takes part in gathering it, and writes nothing
            trainer.save_checkpoint(path)
            return
        write_with(path, lambda temporary: trainer.save_checkpoint(temporary))
        for old in checkpoints(self.folder)[_KEPT:]:
            old.unlink()
