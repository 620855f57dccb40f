"""A training under way: what a checkpoint holds, and the steps that change it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine.evaluation import evaluate, run_model, to_device
from torchmomentum.experiments.engine.nonfinite import Diverged, Skipping, all_finite, diverged
from torchmomentum.experiments.engine.nt_asgd import NTASGD
from torchmomentum.experiments.engine.optimizers import (
    at_rate,
    build_optimizer,
    build_schedules,
    parameters_of,
)
from torchmomentum.experiments.engine.validity import problem_of, problem_of_states
from torchmomentum.experiments.recipe import Training

# watch(model, data, inputs, target, step) before a step: what to keep of it, None for nothing
Watch = Callable[[nn.Module, Data, Any, Tensor, int], Any]

_COUNTED = (
    *("epoch", "step", "index", "history", "records"),
    *("loss_sum", "first_loss", "last_loss", "train_seconds"),
)


class NotOurs(Exception):
    """A checkpoint's values are not those of this run."""


def penalized(loss: Tensor, model: Any) -> Tensor:
    """The loss, and what a model with a method ``training_penalty`` adds to it in training."""
    penalty = getattr(model, "training_penalty", None)
    return loss + penalty() if callable(penalty) else loss


class TrainingRun:
    """A run under way.

    Args:
        recipe: What to train.
        data: Its task's.
        model: Its model.
        fabric: What it trains on.
        watch: What is kept of its steps; None for nothing.
    """

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
        self.last_loss: float | None = None
        self.skipping = Skipping() if recipe.on_nonfinite == "skip" else None

    def state_dict(self) -> dict[str, Any]:
        """All that a run depends on after its steps, for a checkpoint."""
        return {
            "run": self.recipe.key,
            "model": self.model.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            **{name: getattr(self, name) for name in _COUNTED},
            **({} if self.skipping is None else {"skipping": self.skipping.state_dict()}),
            "random_state": torch.get_rng_state(),
            **({"gpu_random_state": torch.cuda.get_rng_state(gpu)} if (gpu := self._gpu) else {}),
        }

    @property
    def _gpu(self) -> torch.device | None:
        device = self.fabric.device
        return device if device.type == "cuda" else None

    def load_state_dict(self, held: Any) -> None:
        """Goes back to where a checkpoint was written.

        Raises:
            NotOurs: It is not this run's, or its weights are not finite.
        """
        problem = problem_of(held, self.model.module, self.schedules, self.recipe.key)
        if problem is None:
            try:
                self._restore(held)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise NotOurs(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
            problem = problem_of_states(self.optimizer)
        if problem is not None:
            raise NotOurs(problem)

    def _restore(self, held: Any) -> None:
        self.model.module.load_state_dict(held["model"])
        self.optimizer.load_state_dict(held["optimizer"])
        for schedule, values in zip(self.schedules, held["schedules"], strict=True):
            schedule.load_state_dict(values)
        # checkpoints had no index while all epochs were of one length
        self.index = held["step"] % len(self.data.train)
        for name in _COUNTED:  # older checkpoints have not all of them
            setattr(self, name, held.get(name, getattr(self, name)))
        if self.skipping is not None:
            self.skipping.load_state_dict(held["skipping"])
        torch.set_rng_state(held["random_state"])
        if self._gpu and "gpu_random_state" in held:  # which draws dropout
            torch.cuda.set_rng_state(held["gpu_random_state"], self._gpu)

    def train_step(self, inputs: Any, target: Any) -> None:
        """One step of the optimizer.

        Raises:
            Diverged: The loss is not finite, or too many steps in a row were skipped.
        """
        if self._watch is not None:
            found = self._watch(self.model.module, self.data, inputs, target, self.step)
            self.records += [] if found is None else [found]
        began, device = time.perf_counter(), self.fabric.device
        inputs, target = to_device(inputs, device), to_device(target, device)
        if self.skipping is not None:
            self.skipping.keep(self.model.module)
        self.optimizer.zero_grad()
        with self.fabric.autocast():
            loss = self.data.loss(run_model(self.model, inputs), target)
        self.fabric.backward(penalized(loss, self.model.module))
        self._update(self._mean(loss.detach()), target)
        if loss.is_cuda:
            torch.cuda.synchronize(loss.device)
        self.train_seconds += time.perf_counter() - began
        self.step += 1
        self.index += 1

    def _mean(self, loss: Tensor) -> float:
        """The loss of all processes: they are to see the same, and to stop together."""
        if self.fabric.world_size > 1:
            mean: Any = self.fabric.all_reduce(loss.double(), reduce_op="mean")
            loss = mean
        return loss.item()

    def _update(self, loss: float, target: Tensor) -> None:
        model, number, epoch = self.model.module, self.step + 1, self.epoch + 1
        if self.skipping is not None and not all_finite(loss, (p.grad for p in model.parameters())):
            self.skipping.skip(model, number, epoch)
            return
        if not math.isfinite(loss):
            raise diverged(model, loss, number, epoch, self.last_loss)
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        rate = 1.0 if self.data.rate is None else self.data.rate(target)
        with nullcontext() if rate == 1.0 else at_rate(self.optimizer, rate):
            self.optimizer.step()
        if self.skipping is not None:
            self.skipping.made()
        self.first_loss = loss if self.first_loss is None else self.first_loss
        self.last_loss = loss
        self.loss_sum += loss

    def end_epoch(self) -> dict[str, float] | None:
        """Evaluates where it is time to; returns the new record of the history.

        Raises:
            Diverged: A loss or a metric is not finite, or the epoch made no step.
        """
        self.epoch += 1
        found = {"train_loss": self._train_loss()}
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

    def _train_loss(self) -> float:
        """The mean loss of the epoch's steps, and the next epoch's begins."""
        made = self.index
        if self.skipping is not None:
            made, self.skipping.in_epoch = made - self.skipping.in_epoch, 0
        mean = self.loss_sum / made if made else math.nan
        self.loss_sum, self.index = 0.0, 0
        return mean

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
