"""Image recipes as data, after the slides' released settings. No torch here, as in ``recipes.py``.

Milestones are epochs, restart intervals iterations. A scale below ``paper`` is a difference from
it; its milestones stand at the same fractions of its epochs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from torchmomentum.experiments.configuration import DEVICES, PRECISIONS
from torchmomentum.experiments.errors import UsageError, check_name

OPTIMIZERS = ("sgd", "srsgd-linear", "srsgd-exponential")
SCALES = ("smoke", "desk", "paper")


@dataclass(frozen=True)
class ImageRecipe:
    """How a data set is trained on.

    Attributes:
        family: Whose networks and augmentation: ``cifar`` or ``imagenet``.
        epochs: Passes over the training images.
        milestones: Epochs after which the learning rate falls by ten, and SRSGD's next interval
            begins.
        restarts: For each of SRSGD's schedules the interval of each stage.
        batch_size: Images of a step, on all devices together.
        lr: Learning rate.
        weight_decay: Of all parameters.
        momentum: Of SGD, which is not Nesterov's.
        restart_at_milestones: Whether SRSGD begins afresh at each milestone, counter and momentum,
            as the released code's new optimizer does.
        restart_fades: Whether SRSGD's last interval falls from epoch to epoch, evenly, to 1 in the
            last one, each epoch begun afresh.
        short_epochs: Of the short training.
        short_milestones: Of the short training.
    """

    epochs: int
    milestones: tuple[int, ...]
    restarts: dict[str, tuple[int, ...]]
    family: str = "cifar"
    batch_size: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    restart_at_milestones: bool = True
    restart_fades: bool = False
    short_epochs: int = 100
    short_milestones: tuple[int, ...] = (80, 90, 95)


_CIFAR10 = ImageRecipe(
    epochs=200,
    milestones=(80, 120, 160),
    restarts={"linear": (30, 60, 90, 120), "exponential": (40, 50, 63, 78)},
)
_CIFAR100 = replace(
    _CIFAR10, restarts={"linear": (50, 100, 150, 200), "exponential": (45, 68, 101, 152)}
)
_IMAGENET = ImageRecipe(
    epochs=90,
    milestones=(31, 61),
    restarts={"linear": (40, 80, 80)},
    family="imagenet",
    batch_size=256,
    weight_decay=1e-4,
    restart_fades=True,
    short_epochs=80,
    short_milestones=(31, 51),
)
RECIPES = {"cifar10": _CIFAR10, "cifar100": _CIFAR100, "imagenet": _IMAGENET}
JPEG = "cifar10-jpeg"  # has no recipe of its own, and can stand in for all that have
DATA = (*RECIPES, JPEG)
# ImageNet's short trainings by depth: epochs, milestones
SHORT_IMAGENET = {50: (80, (31, 51)), 101: (80, (31, 56)), 152: (75, (31, 51)), 200: (60, (31, 46))}


@dataclass(frozen=True)
class ImageConfig:
    """Everything that an image run depends on. Two equal ones give equal numbers on a CPU.

    Attributes:
        task: The images, a name of :data:`DATA`.
        family: See :class:`ImageRecipe`.
        model: What the run is called among others, and its folder: optimizer, depth, epochs.
        optimizer: A name of :data:`OPTIMIZERS`.
        depth: Of the network.
        preset: The scale.
        init_seed: Fixes the initial weights, the order of the images and their augmentation.
        milestones: And the rest: see :class:`ImageRecipe`.
        restarts: SRSGD's interval of each stage, in iterations; empty for SGD.
        train_limit: Trains on so many images only, the same for every run; of shards, on the first
            of each epoch's stream.
        test_limit: Tests on so many only.
        evaluate_every: Epochs between tests; the last has one always.
        size: Pixels of an image's side.
        device: ``cpu`` or ``cuda``.
        devices: How many.
        precision: ``float32``, or ``bfloat16`` for autocast.
        compile: Compiles the network.
        threads: CPU threads.
        workers: Threads that read and decode ImageNet.
    """

    task: str
    family: str
    model: str
    optimizer: str
    depth: int
    preset: str
    init_seed: int
    epochs: int
    milestones: tuple[int, ...]
    restarts: tuple[int, ...]
    batch_size: int
    lr: float
    weight_decay: float
    momentum: float
    restart_at_milestones: bool
    restart_fades: bool
    train_limit: int | None = None
    test_limit: int | None = None
    evaluate_every: int = 1
    size: int = 32
    device: str = "cpu"
    devices: int = 1
    precision: str = "float32"
    compile: bool = False
    threads: int = 1
    workers: int = 0

    clip: ClassVar[None] = None  # as a sequence's run may have one

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return asdict(self) | {
            "milestones": list(self.milestones),
            "restarts": list(self.restarts),
        }


def scaled(milestones: tuple[int, ...], of: int, to: int) -> tuple[int, ...]:
    """Milestones at the same fractions of other epochs, at least one apart where there is room.

    Example:
        >>> scaled((80, 120, 160), 200, 20)
        (8, 12, 16)
    """
    found: list[int] = []
    for milestone in milestones:
        at = max(round(milestone * to / of), found[-1] + 1 if found else 1)
        if at < to:
            found.append(at)
    return tuple(found)


def restart_stages(config: ImageConfig) -> tuple[list[int], list[int]]:
    """SRSGD's stages: at which epochs they begin but for the first, and the interval of each.

    Example:
        >>> config = resolve_image("imagenet", "srsgd-linear", depth=50, preset="paper", seed=0)
        >>> milestones, restarts = restart_stages(config)
        >>> milestones[:3], restarts[:4], restarts[-2:]
        ([31, 61, 62], [40, 80, 80, 77], [4, 1])
    """
    milestones, restarts = list(config.milestones), list(config.restarts)
    if config.restart_fades and milestones:
        last, first = restarts.pop(), milestones[-1]
        left = config.epochs - 1 - first  # epochs behind the stage's first
        milestones += range(first + 1, config.epochs)
        restarts += [round((last - 1) * (left - k) / max(left, 1)) + 1 for k in range(left + 1)]
    return milestones, restarts


_COUNTS = (
    *("epochs", "depth", "batch_size", "devices", "threads", "evaluate_every", "size"),
    *("train_limit", "test_limit"),
)


def _whose(name: str, task: str, schedule: str) -> str:
    """What tells a run by another data set's recipe from the same images' own run, where it is."""
    own, other = RECIPES[task.removesuffix("-jpeg")], RECIPES[name]
    used, others = (replace(r, restarts={"": r.restarts.get(schedule, ())}) for r in (own, other))
    return "" if used == others else f"-by-{name}"


def resolve_image(
    name: str,
    optimizer: str,
    *,
    data: str | None = None,
    depth: int,
    preset: str,
    seed: int,
    short: bool = False,
    epochs: int | None = None,
    changes: dict[str, Any] | None = None,
) -> ImageConfig:
    """Puts a run together from a recipe and what differs from it.

    Args:
        name: Of the recipe, one of :data:`RECIPES`.
        optimizer: A name of :data:`OPTIMIZERS`.
        data: The images, where they are not the recipe's own: :data:`JPEG`.
        depth: Of the network.
        preset: A name of :data:`SCALES`.
        seed: For everything random.
        short: The short training.
        epochs: Other than the recipe's: milestones move along.
        changes: Other fields of :class:`ImageConfig`.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    check_name("recipe", name, RECIPES)
    task = data or name
    check_name("data", task, DATA)
    check_name("optimizer", optimizer, OPTIMIZERS)
    check_name("scale", preset, SCALES)
    recipe = RECIPES[name]
    if task not in (name, JPEG):
        raise UsageError(f"the recipe of {name} is for {name} or {JPEG}, not for {task}")
    total, milestones = recipe.epochs, recipe.milestones
    if short:
        total, milestones = recipe.short_epochs, recipe.short_milestones
        if name == "imagenet":
            total, milestones = SHORT_IMAGENET.get(depth, (total, milestones))
    if epochs is not None:
        milestones, total = scaled(milestones, total, epochs), epochs
    restarts: tuple[int, ...] = ()
    schedule = optimizer.partition("-")[2]
    if schedule:
        if schedule not in recipe.restarts:
            known = ", ".join(recipe.restarts)
            raise UsageError(f"{name} has no {schedule} schedule of restarts; it has: {known}")
        restarts = recipe.restarts[schedule][: len(milestones) + 1]
    values: dict[str, Any] = {
        "task": task,
        "family": recipe.family,
        "model": f"{optimizer}{_whose(name, task, schedule)}-depth-{depth}-epochs-{total}",
        "optimizer": optimizer,
        "depth": depth,
        "preset": preset,
        "init_seed": seed,
        "epochs": total,
        "milestones": milestones,
        "restarts": restarts,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "weight_decay": recipe.weight_decay,
        "momentum": recipe.momentum,
        "restart_at_milestones": recipe.restart_at_milestones,
        "restart_fades": recipe.restart_fades,
        "size": 224 if recipe.family == "imagenet" else 32,
    }
    values |= {key: value for key, value in (changes or {}).items() if value is not None}
    for count in _COUNTS:
        if values.get(count) is not None and values[count] < 1:
            raise UsageError(f"{count} must be at least 1, got {values[count]}")
    if values.get("workers", 0) < 0:
        raise UsageError(f"workers must be at least 0, got {values['workers']}")
    if values["batch_size"] % values.get("devices", 1):
        raise UsageError(
            f"batch_size must be a multiple of the {values['devices']} devices, got "
            f"{values['batch_size']}"
        )
    check_name("device", values.get("device", "cpu"), DEVICES)
    check_name("precision", values.get("precision", "float32"), PRECISIONS)
    if not 0.0 < values["lr"] < math.inf:
        raise UsageError(f"lr must be positive and finite, got {values['lr']}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed must be in [0, 2**63), got {seed}")
    return ImageConfig(**values)
