"""How the slides train on images, after their released settings. No torch here.

Milestones are epochs, restart intervals iterations. A training with fewer epochs has its milestones
at the same fractions of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

OPTIMIZERS = ("sgd", "srsgd-linear", "srsgd-exponential")


@dataclass(frozen=True)
class ImageRecipe:
    """How a data set is trained on.

    Attributes:
        epochs: Passes over the training images.
        milestones: Epochs after which the learning rate falls by ten, and SRSGD's next interval
            begins.
        restarts: For each of SRSGD's schedules the interval of each stage.
        family: Whose networks and augmentation: ``cifar`` or ``imagenet``.
        batch_size: Images of a step, on all devices together.
        lr: Learning rate.
        weight_decay: Of all parameters.
        momentum: Of SGD, which is not Nesterov's.
        restart_at_milestones: See :class:`~.engine.optimizers.Schedule`.
        restart_fades: See :class:`~.engine.optimizers.Schedule`.
        short: The short trainings by depth: epochs and milestones. 0 is every depth that is not
            named.
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
    short: tuple[tuple[int, tuple[int, tuple[int, ...]]], ...] = ((0, (100, (80, 90, 95))),)


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
    short=(
        (50, (80, (31, 51))),
        (101, (80, (31, 56))),
        (152, (75, (31, 51))),
        (200, (60, (31, 46))),
    ),
)
RECIPES = {"cifar10": _CIFAR10, "cifar100": _CIFAR100, "imagenet": _IMAGENET}
JPEG = "cifar10-jpeg"  # has no recipe of its own, and can stand in for all that have
DATA = (*RECIPES, JPEG)


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
