"""A training under way: what a checkpoint holds, and the steps that change it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn
from torch.optim.lr_scheduler import LRScheduler

from torchmomentum.experiments.data.batches import Batch
from torchmomentum.experiments.data.task_data import Data
from torchmomentum.experiments.engine import stopping
from torchmomentum.experiments.engine.evaluation import (
    evaluate,
    run_model,
    to_device,
    weight_of,
    wide,
)
from torchmomentum.experiments.engine.nonfinite import Diverged, Skipping, all_finite, diverged
from torchmomentum.experiments.engine.nt_asgd import NTASGD
from torchmomentum.experiments.engine.optimizers import (
    at_rate,
    build_optimizer,
    build_schedules,
    parameters_of,
)
from torchmomentum.experiments.engine.parts import part
from torchmomentum.experiments.engine.sharded import states_as_shards, weights_as_shards, whole
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
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.model: Any = fabric.setup_module(model)
        self.optimizer = build_optimizer(recipe, parameters_of(self.model.module))
        self.schedules: Sequence[LRScheduler] = build_schedules(recipe, self.optimizer)
        self._stepping: Any = fabric.setup_optimizers(self.optimizer)  # scales gradients of float16
        self.must_end = False  # whether a process was told to
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
            "model": whole(self.model.module.state_dict()),
            "optimizer": whole(self.optimizer.state_dict()),
            "precision": self.fabric.strategy.precision.state_dict(),
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

    def load_state_dict(self, held: Any, key: str | None = None) -> None:
        """Goes back to where a checkpoint was written.

        Args:
            held: Its values.
            key: Its recipe's; by default this run's.

        Raises:
            NotOurs: It is not this run's, or its weights are not finite.
        """
        problem = problem_of(held, self.model.module, self.schedules, key or self.recipe.key)
        if problem is None:
            try:
                self._restore(held)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise NotOurs(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
            problem = problem_of_states(self.optimizer)
        if problem is not None:
            raise NotOurs(problem)

    def _restore(self, held: Any) -> None:
        model = self.model.module
        model.load_state_dict(weights_as_shards(held["model"], model))
        self.optimizer.load_state_dict(states_as_shards(held["optimizer"], self.optimizer))
        self.fabric.strategy.precision.load_state_dict(held.get("precision", {}))
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
        inputs, target = self.on_device(inputs), self.on_device(target)
        if self.skipping is not None:
            self.skipping.keep(self.model.module)
        self.optimizer.zero_grad()
        self._update(self._gradients(inputs, target), target)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.train_seconds += time.perf_counter() - began
        self.step += 1
        self.index += 1

    def on_device(self, value: Any) -> Any:
        """A batch's inputs or target, as this run computes with them."""
        return to_device(value, self.fabric.device, wide(self.dtype))

    def as_trained(self, inputs: Any) -> Any:
        """Inputs in the type that Fabric gives the wrapped model, for the model without it.

        Given float32 under autocast, PyTorch's LSTM fails on a processor without bfloat16.
        """
        return self.fabric.strategy.precision.convert_input(inputs)

    def passes(self, inputs: Any, target: Tensor) -> list[Batch]:
        """This process's samples of a batch, one pass after the other."""
        fabric, count = self.fabric, self.recipe.accumulate
        if fabric.world_size > 1 and not self.data.train.sharded:
            inputs, target = part(inputs, target, self.data, fabric.global_rank, fabric.world_size)
        if count == 1:
            return [(inputs, target)]
        return [part(inputs, target, self.data, i, count) for i in range(count)]

    def _gradients(self, inputs: Any, target: Tensor) -> float:
        """Adds up the gradients of the mean over a batch, on all processes; returns that mean."""
        passes, world = self.passes(inputs, target), self.fabric.world_size
        shares = [1.0]
        if len(passes) * world > 1:
            weights = [weight_of(y, self.data) for _, y in passes]
            total = self._over_processes(float(sum(weights)))[0]
            shares = [world * weight / total if total else math.nan for weight in weights]
        mean = 0.0
        for i, (x, y) in enumerate(passes):
            waits = world > 1 and i < len(passes) - 1  # for the last, to tell the others
            with self.fabric.no_backward_sync(self.model) if waits else nullcontext():
                mean += self._loss(x, y, shares[i])
        return self._mean(mean)

    def _loss(self, x: Any, y: Tensor, share: float) -> float:
        """A pass's share of the loss, after its backward."""
        with self.fabric.autocast():
            output = run_model(self.model, x)
            # where no target is known the mean is not, and the other processes wait
            loss = self.data.loss(output, y) if share else output.sum() * 0.0
        total = penalized(loss, self.model.module)
        self.fabric.backward(total if share == 1.0 else total * share)
        return loss.item() * share

    def _over_processes(self, *values: float) -> list[float]:
        """The sums over all processes."""
        if self.fabric.world_size == 1:
            return [*values]
        given = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        distributed.all_reduce(given)
        found: list[float] = given.tolist()
        return found

    def _mean(self, loss: float) -> float:
        """The loss of all processes: they are to see the same, and to stop together."""
        total, told = self._over_processes(loss, float(stopping.asked()))
        self.must_end = told > 0
        return total / self.fabric.world_size

    def _is_whole(self, loss: float) -> bool:
        """Whether a loss and all gradients, those of other processes too, are finite."""
        gradients = (p.grad for p in self.model.module.parameters())
        found = all_finite(loss, (getattr(g, "_local_tensor", g) for g in gradients))
        return self._over_processes(float(not found))[0] == 0

    def _update(self, loss: float, target: Tensor) -> None:
        model, number, epoch = self.model.module, self.step + 1, self.epoch + 1
        if self.skipping is not None and not self._is_whole(loss):
            self.skipping.skip(model, number, epoch)
            return
        if not math.isfinite(loss):
            raise diverged(model, loss, number, epoch, self.last_loss)
        if self.recipe.clip is not None:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        rate = 1.0 if self.data.rate is None else self.data.rate(target)
        with nullcontext() if rate == 1.0 else at_rate(self.optimizer, rate):
            self._stepping.step()
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
                    where = self.fabric.device, self.dtype, self.as_trained
                    loss, metric = evaluate(model, batches, self.data, *where)
                    found |= {f"{name}_loss": loss, f"{name}_metric": metric}
        if isinstance(optimizer, NTASGD) and "validation_loss" in found:
            optimizer.observe(found["validation_loss"])
        return found
