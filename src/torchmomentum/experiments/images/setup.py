"""An image run's data, network and optimizer, from its configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import torchmomentum.optim as topt
from torchmomentum.experiments.batches import Batch, BatchStream
from torchmomentum.experiments.data.augment import IMAGENET, normalize
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.data.samples import encoded_cifar
from torchmomentum.experiments.data.stored import Pieces, augmented
from torchmomentum.experiments.data.streams import image_streams
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.images.recipes import JPEG, ImageConfig, restart_stages
from torchmomentum.experiments.images.resnets import PreResNet, ResNet
from torchmomentum.experiments.tasks import Task


def _error(output: Tensor, target: Tensor) -> Tensor:
    """The part of the images whose class is not the likeliest one."""
    return (output.argmax(-1) != target).float().mean()


def _task(config: ImageConfig, train: BatchStream, test: Iterable[Batch]) -> Task:
    return Task(
        train=train,
        validation=[],
        test=test,
        loss=cross_entropy,
        metric=_error,
        metric_name="error",
        higher_is_better=False,
        batch_dim=0,
        evaluate_every=config.evaluate_every,
    )


def _cifar(config: ImageConfig, folder: Path, offline: bool) -> tuple[Task, int]:
    data = load_cifar(config.task, folder, offline=offline)
    device = config.device
    if device == "cuda":  # that of this process, among several
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    train = augmented(
        data.train,
        data.train_labels,
        batch_size=config.batch_size,
        seed=config.init_seed,
        limit=config.train_limit,
        device=device,
    )
    test = Pieces(data.test, data.test_labels, limit=config.test_limit, device=device)
    return _task(config, train, test), data.classes


def _imagenet(config: ImageConfig, folder: Path, offline: bool) -> tuple[Task, int]:
    find = encoded_cifar if config.task == JPEG else imagenet_part
    train, test, classes = image_streams(
        partial(find, folder),
        batch_size=config.batch_size,
        size=config.size,
        seed=config.init_seed,
        workers=config.workers,
        finish=partial(normalize, statistics=IMAGENET),
        train_limit=config.train_limit,
        test_limit=config.test_limit,
    )
    return _task(config, train, test), classes


def image_setup(
    config: ImageConfig, folder: Path, *, offline: bool = False
) -> tuple[Task, nn.Module]:
    """A run's task and its network, initialized by the run's seed.

    Raises:
        UsageError: Data that is missing or damaged, or a depth that there is none of.
    """
    load: Callable[[ImageConfig, Path, bool], tuple[Task, int]] = (
        _imagenet if config.family == "imagenet" else _cifar
    )
    kind = ResNet if config.family == "imagenet" else PreResNet
    with torch.device("meta"):  # a depth that does not fit should not wait for the data
        _refuse_depth(kind, config.depth)
    task, classes = load(config, folder, offline)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.init_seed)
        model: nn.Module = kind(config.depth, classes)
    if config.compile:
        model.compile()
    return task, model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _refuse_depth(kind: Callable[[int], nn.Module], depth: int) -> None:
    try:
        kind(depth)
    except ValueError as error:
        raise UsageError(str(error)) from error


def image_optimizer(
    config: ImageConfig, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """SGD with momentum, or SRSGD with the first stage's interval."""
    if config.restarts:
        return topt.SRSGD(
            parameters,
            config.lr,
            weight_decay=config.weight_decay,
            restart_every=config.restarts[0],
        )
    return torch.optim.SGD(
        parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )


def image_schedules(
    config: ImageConfig, optimizer: torch.optim.Optimizer
) -> Sequence[torch.optim.lr_scheduler.LRScheduler | topt.RestartScheduler]:
    """What changes from epoch to epoch: the learning rate, and SRSGD's interval."""
    found: list[torch.optim.lr_scheduler.LRScheduler | topt.RestartScheduler] = [
        torch.optim.lr_scheduler.MultiStepLR(optimizer, list(config.milestones), 0.1)
    ]
    if config.restarts:
        found.append(
            topt.RestartScheduler(
                optimizer,
                *restart_stages(config),
                restart_at_milestones=config.restart_at_milestones,
            )
        )
    return found
