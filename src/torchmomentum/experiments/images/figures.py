"""What each image figure trains at each scale. No torch here: the command line reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.images.recipes import (
    DATA,
    RECIPES,
    SCALES,
    ImageConfig,
    resolve_image,
)

_ALL, _TWO = ("sgd", "srsgd-linear", "srsgd-exponential"), ("sgd", "srsgd-linear")
_DEPTHS = (110, 290, 470, 650, 1001)
_IMAGENET_DEPTHS = (50, 101, 152, 200)


@dataclass(frozen=True)
class Scale:
    """How much of a figure is trained.

    Attributes:
        optimizers: What is compared.
        depths: Of the networks.
        epochs: Each number is a training of its own; None is the recipe's.
        short: Trains the recipe's short training as well.
        seeds: How many.
        changes: What else differs from the recipe: fields of :class:`ImageConfig`.
    """

    optimizers: Sequence[str] = _TWO
    depths: Sequence[int] = (20,)
    epochs: Sequence[int | None] = (None,)
    short: bool = False
    seeds: int = 3
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageFigure:
    """One of the slides' figures of image classification.

    Attributes:
        title: What it shows, the images apart.
        recipe: What it is trained on and how, unless images with another recipe are asked for.
        axis: What its plot has below: ``epoch``, ``depth`` or ``epochs``.
        scales: What each scale trains.
    """

    title: str
    recipe: str
    axis: str
    scales: dict[str, Scale]


_SMOKE = Scale(
    depths=(11,),
    epochs=(1,),
    seeds=1,
    changes={"train_limit": 256, "test_limit": 256, "batch_size": 32},
)
# what two cores train in an hour or so: a fifth of the images, a tenth of the epochs
_DESK: dict[str, Any] = {"train_limit": 10_000, "evaluate_every": 2, "precision": "bfloat16"}
_PAPER = Scale(optimizers=_ALL, depths=_DEPTHS, seeds=5)
_CIFAR = {"smoke": _SMOKE, "desk": Scale(epochs=(20,), changes=_DESK), "paper": _PAPER}
_IMAGENET_SMOKE = Scale(
    depths=(50,),
    epochs=(1,),
    seeds=1,
    changes={"train_limit": 32, "test_limit": 32, "batch_size": 8, "size": 64},
)
_IMAGENET_DESK = Scale(
    depths=(50,),
    epochs=(10,),
    seeds=3,
    changes={
        "train_limit": 10_000,
        "test_limit": 10_000,
        "evaluate_every": 2,
        "size": 32,
        "precision": "bfloat16",
    },
)

FIGURES = {
    "cifar10": ImageFigure("pre-activation ResNets", "cifar10", "epoch", _CIFAR),
    "cifar100": ImageFigure("pre-activation ResNets", "cifar100", "epoch", _CIFAR),
    "imagenet": ImageFigure(
        "ResNets",
        "imagenet",
        "epoch",
        {
            "smoke": _IMAGENET_SMOKE,
            "desk": _IMAGENET_DESK,
            "paper": Scale(depths=_IMAGENET_DEPTHS, seeds=5, changes={"workers": 8}),
        },
    ),
    "error-vs-depth": ImageFigure(
        "test error by depth",
        "cifar10",
        "depth",
        {
            "smoke": Scale(depths=(11, 20), epochs=(1,), seeds=1, changes=_SMOKE.changes),
            "desk": Scale(depths=(11, 20, 29), epochs=(10,), changes=_DESK),
            "paper": _PAPER,
        },
    ),
    "fewer-epochs": ImageFigure(
        "SRSGD in fewer epochs",
        "cifar10",
        "epochs",
        {
            "smoke": Scale(depths=(11,), epochs=(2, 1), seeds=1, changes=_SMOKE.changes),
            "desk": Scale(epochs=(20, 10), changes=_DESK),
            "paper": Scale(depths=_DEPTHS, short=True, seeds=5),
        },
    ),
}


def recipe_of(name: str, data: str | None) -> str:
    """The recipe that a figure is trained by: that of the images where they have one.

    Raises:
        UsageError: The images are unknown, or of another family than the figure's.
    """
    figure = FIGURES[name]
    if data is None:
        return figure.recipe
    check_name("data", data, DATA)
    recipe = data if data in RECIPES else figure.recipe
    if RECIPES[recipe].family != RECIPES[figure.recipe].family:
        raise UsageError(f"{name} is not a figure of {data}")
    return recipe


def plan(
    name: str,
    preset: str,
    *,
    data: str | None = None,
    depths: Sequence[int] | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
    changes: dict[str, Any] | None = None,
) -> list[ImageConfig]:
    """All runs of a figure, seed by seed, the baseline first.

    Args:
        name: A key of :data:`FIGURES`.
        preset: A name of :data:`~.recipes.SCALES`.
        data: Other images than the recipe's.
        depths: Other depths than the scale's.
        epochs: Other than the scale's.
        seeds: How many.
        changes: Fields of :class:`ImageConfig` that the user chose.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    check_name("scale", preset, SCALES)
    recipe, scale = recipe_of(name, data), FIGURES[name].scales[preset]
    count = scale.seeds if seeds is None else seeds
    if count < 1:
        raise UsageError(f"seeds must be at least 1, got {count}")
    if depths and len({*depths}) < len(depths):
        raise UsageError(f"depths names one twice: {', '.join(map(str, depths))}")
    known = RECIPES[recipe].restarts
    optimizers = [o for o in scale.optimizers if o == "sgd" or o.partition("-")[2] in known]
    trainings = [(False, e) for e in (scale.epochs if epochs is None else (epochs,))]
    if scale.short and epochs is None:
        trainings.append((True, None))
    return [
        resolve_image(
            recipe,
            optimizer,
            data=data,
            depth=depth,
            preset=preset,
            seed=seed,
            short=short,
            epochs=total,
            changes={**scale.changes, **(changes or {})},
        )
        for seed in range(count)
        for short, total in trainings
        for depth in (depths or scale.depths)
        for optimizer in optimizers
    ]
