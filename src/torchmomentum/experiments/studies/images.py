"""The slides' figures of image classification, as studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchmomentum.experiments.errors import UsageError, check_name
from torchmomentum.experiments.published.images import IMAGE_ERRORS
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.result import Results
from torchmomentum.experiments.studies.image_recipes import (
    DATA,
    JPEG,
    OPTIMIZERS,
    RECIPES,
    ImageRecipe,
    scaled,
)
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.study import Scale, Study

_SHORT = "short"  # the recipe's short training, on the axis of epochs
_ALL, _TWO = OPTIMIZERS, OPTIMIZERS[:2]
_DEPTHS = (110, 290, 470, 650, 1001)
_IMAGENET_DEPTHS = (50, 101, 152, 200)
_OPTIONS = (
    *("data", "depths", "epochs", "batch_size", "lr", "train_limit", "compile"),
    *("device", "devices", "precision", "threads", "workers"),
)


def whose(recipe: str, data: str | None) -> tuple[str, str]:
    """The recipe to train by and the task: pictures that have a recipe of their own keep it.

    Raises:
        UsageError: Unknown pictures, or some of another family than the recipe.
    """
    check_name("recipe", recipe, RECIPES)
    if data is None:
        return recipe, recipe
    if check_name("data", data, DATA) == JPEG:
        return recipe, f"imagenet-{JPEG}" if RECIPES[recipe].family == "imagenet" else JPEG
    if RECIPES[data].family != RECIPES[recipe].family:
        raise UsageError(f"the recipe of {recipe} is not for {data}")
    return data, data


def _length(
    recipe: ImageRecipe, depth: int, epochs: int | str | None
) -> tuple[int, tuple[int, ...]]:
    """Epochs and milestones of a training."""
    if epochs == _SHORT:
        short = dict(recipe.short)
        if depth not in short and 0 not in short:
            known = ", ".join(map(str, short))
            raise UsageError(f"there is no short training of depth {depth}; there are: {known}")
        return short[depth if depth in short else 0]
    if epochs is None:
        return recipe.epochs, recipe.milestones
    if int(epochs) < 1:
        raise UsageError(f"epochs must be at least 1, got {epochs}")
    return int(epochs), scaled(recipe.milestones, recipe.epochs, int(epochs))


def image_recipe(settings: Mapping[str, Any], seed: int) -> Training:
    """One training on images.

    Args:
        settings: ``recipe``, ``data`` where the pictures are others, ``optimizer`` of
            :data:`~.image_recipes.OPTIMIZERS`, ``depth``, ``epochs`` (None for the recipe's,
            ``"short"`` for its short training), and options of the training.
        seed: For everything random.

    Raises:
        UsageError: An unknown name, or a value out of its range.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    name, task = whose(given.pop("recipe"), given.pop("data", None))
    recipe = RECIPES[name]
    optimizer, _, schedule = check_name("optimizer", given.pop("optimizer"), OPTIMIZERS).partition(
        "-"
    )
    epochs, milestones = _length(recipe, given["depth"], given.pop("epochs", None))
    changes: dict[str, Any] = {"momentum": recipe.momentum}
    plan: dict[str, Any] = {"milestones": milestones}
    if schedule:
        if schedule not in recipe.restarts:
            known = ", ".join(recipe.restarts)
            raise UsageError(f"{name} has no {schedule} schedule of restarts; it has: {known}")
        plan |= {
            "restarts": recipe.restarts[schedule][: len(milestones) + 1],
            "restart_at_milestones": recipe.restart_at_milestones,
            "restart_fades": recipe.restart_fades,
        }
        changes = {}
    found = {
        "task": task,
        "optimizer": optimizer,
        "epochs": epochs,
        "schedule": plan,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "weight_decay": recipe.weight_decay,
        **changes,
        **given,
    }
    if found["batch_size"] % found.get("devices", 1):
        raise UsageError(
            f"batch_size must be a multiple of the {found['devices']} devices, got "
            f"{found['batch_size']}"
        )
    return training_recipe(found, seed)


def published(results: Results) -> dict[str, Any]:
    """The published error of each arm that has one, and was trained on the same images."""
    found = list[list[Any]]()
    for run in results.runs:
        arm = run.arm
        key = (run.recipe["task"], arm["depth"], arm["optimizer"], arm["epochs"])
        if key in IMAGE_ERRORS and all(each[0] != arm for each in found):
            found.append([arm, *IMAGE_ERRORS[key]])
    return {"published": found} if found else {}


def shown(recipe: Training) -> dict[str, Any]:
    """The epochs of an arm, which the recipe may have chosen."""
    return {"epochs": recipe.epochs}


def _study(
    name: str,
    title: str,
    recipe: str,
    axis: str,
    scales: Mapping[str, Scale],
    axes: Mapping[str, Sequence[Any]],
) -> Study:
    return Study(
        name=name,
        title=title,
        recipe=f"{__name__}:image_recipe",
        shown=f"{__name__}:shown",
        derive=f"{__name__}:published",
        axes={"epochs": (None,), **axes},
        settings={"recipe": recipe},
        seeds=5,
        scales=scales,
        scale="desk",
        metric="test error",
        higher_is_better=False,
        table="errors",
        figure="errors",
        view={"axis": axis, "recipe": recipe, "baseline": ["optimizer", "epochs"]},
        options=_OPTIONS,
    )


_SMOKE = {"train_limit": 256, "test_limit": 256, "batch_size": 32}
# what two cores train in an hour or so: a fifth of the images, a tenth of the epochs
_DESK = {"train_limit": 10_000, "evaluate_every": 2, "precision": "bfloat16"}
_FULL = {"depth": _DEPTHS, "optimizer": _ALL}


def _cifar(smoke: Mapping[str, Any], desk: Mapping[str, Any], **paper: Any) -> dict[str, Scale]:
    few = {"optimizer": _TWO}
    return {
        "smoke": Scale(_SMOKE, {**few, "depth": (11,), "epochs": (1,), **smoke}, 1),
        "desk": Scale(_DESK, {**few, "depth": (20,), "epochs": (20,), **desk}, 3),
        "paper": Scale({}, paper),
    }


def _imagenet(smoke: Mapping[str, Any], desk: Mapping[str, Any], **paper: Any) -> dict[str, Scale]:
    small = {"train_limit": 32, "test_limit": 32, "batch_size": 8, "size": 64}
    pictures = {**_DESK, "test_limit": 10_000, "size": 32}
    return {
        "smoke": Scale(small, {"depth": (50,), "epochs": (1,), **smoke}, 1),
        "desk": Scale(pictures, {"depth": (50,), "epochs": (10,), **desk}, 3),
        "paper": Scale({"workers": 8}, paper),
    }


_BY_DEPTH = {"depth": (11, 20)}, {"depth": (11, 20, 29), "epochs": (10,)}
_IMAGENET_AXES = {"depth": _IMAGENET_DEPTHS, "optimizer": _TWO}
CIFAR10 = _study("cifar10", "pre-activation ResNets", "cifar10", "epoch", _cifar({}, {}), _FULL)
CIFAR100 = replace(
    CIFAR10,
    name="cifar100",
    settings={"recipe": "cifar100"},
    view={**CIFAR10.view, "recipe": "cifar100"},
)
IMAGENET = _study("imagenet", "ResNets", "imagenet", "epoch", _imagenet({}, {}), _IMAGENET_AXES)
ERROR_VS_DEPTH = _study(
    "error-vs-depth", "test error by depth", "cifar10", "depth", _cifar(*_BY_DEPTH), _FULL
)
FEWER_EPOCHS = _study(
    "fewer-epochs",
    "SRSGD in fewer epochs",
    "cifar10",
    "epochs",
    _cifar({"epochs": (2, 1)}, {"epochs": (20, 10)}, epochs=(None, _SHORT), optimizer=_TWO),
    _FULL,
)
IMAGENET_ERROR_VS_DEPTH = _study(
    "imagenet-error-vs-depth",
    "test error by depth",
    "imagenet",
    "depth",
    _imagenet({"depth": (50, 101)}, {"depth": (50, 101)}),
    _IMAGENET_AXES,
)
IMAGENET_FEWER_EPOCHS = _study(
    "imagenet-fewer-epochs",
    "SRSGD in fewer epochs",
    "imagenet",
    "epochs",
    _imagenet({"epochs": (2, 1)}, {"epochs": (10, 8)}, epochs=(None, _SHORT)),
    _IMAGENET_AXES,
)
