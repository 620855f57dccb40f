"""Recipes as data: what each task is trained with, after Tables 6 to 10 of the MomentumRNN paper.

No torch here: the command line reads this file for its help. A preset is a difference from the
paper's recipe; the forget bias is the sum of both biases (the paper's "1", set in each: 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

CELLS = ("lstm", "gru", "rnn")
RULES = ("momentum", "nag", "sr", "released-sr", "adam", "rmsprop")
# "lstm", "momentum-lstm", ...: every rule with every cell, and every cell without
MODELS = tuple(name for cell in CELLS for name in (cell, *(f"{rule}-{cell}" for rule in RULES)))
PRESETS = ("smoke", "desk", "paper")
OPTIMIZERS = ("rmsprop", "adam", "sgd", "nag", "srsgd")
HYPERPARAMETERS = {
    "momentum": ("mu", "step_size"),
    "nag": ("step_size",),
    "sr": ("step_size", "restart"),
    "released-sr": ("step_size", "restart"),
    "adam": ("mu", "step_size", "beta", "eps"),
    "rmsprop": ("step_size", "beta", "eps"),
}


@dataclass(frozen=True)
class Recipe:
    """How a task is trained.

    Attributes:
        title: What the task is, for tables and help.
        source: Where the numbers are from.
        optimizer: A name of :data:`OPTIMIZERS`.
        lr: Learning rate.
        batch_size: Samples in a batch.
        epochs: Passes over the training data, or over ``steps_per_epoch`` generated batches.
        hidden_size: Hidden units.
        clip: Largest norm of the gradient; None does not clip.
        init: ``paper``, see :func:`torchmomentum.nn.paper_init_`, or ``torch``, the layers' own.
        forget_bias: With the paper's initialization, the sum of an LSTM's two forget-gate biases.
        alpha: The smoothing constant of the optimizer RMSprop.
        length: Of generated sequences (copying: the blanks between), in steps.
        steps_per_epoch: Batches that make an epoch of a generated task.
        train_limit: Uses so many training samples only.
        test_limit: Evaluates on so many validation and test samples only.
        rules: The hyperparameters of each rule.
    """

    title: str
    source: str
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    hidden_size: int
    clip: float | None = None
    init: str = "paper"
    forget_bias: float = 2.0
    alpha: float = 0.9
    length: int | None = None
    steps_per_epoch: int | None = None
    train_limit: int | None = None
    test_limit: int | None = None
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)


_DIGITS = Recipe(
    title="8x8 digits pixel by pixel, 64 steps",
    source="own (the data is not in the papers)",
    optimizer="rmsprop",
    lr=1e-3,
    batch_size=64,
    epochs=40,
    hidden_size=64,
    clip=1.0,
    init="torch",
    alpha=0.99,
    rules={
        "momentum": {"mu": 0.6, "step_size": 1.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 6},
        "adam": {"mu": 0.6, "step_size": 0.6, "beta": 0.9},
        "rmsprop": {"step_size": 0.6, "beta": 0.9},
    },
)
_MNIST = Recipe(
    title="MNIST pixel by pixel, 784 steps",
    source="MomentumRNN paper, Tables 6-10",
    optimizer="rmsprop",
    lr=1e-3,
    batch_size=128,
    epochs=150,
    hidden_size=256,
    clip=1.0,
    rules={
        "momentum": {"mu": 0.6, "step_size": 0.6},
        "nag": {"step_size": 1.0},
        "sr": {"step_size": 1.0, "restart": 2},
        "adam": {"mu": 0.6, "step_size": 0.6, "beta": 0.1},
        "rmsprop": {"step_size": 0.6, "beta": 0.9},
    },
)
_PMNIST = replace(
    _MNIST,
    title="MNIST pixel by pixel in a fixed random order, 784 steps",
    rules={
        "momentum": {"mu": 0.6, "step_size": 1.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 40},
        "adam": {"mu": 0.6, "step_size": 1.0, "beta": 0.01},
        "rmsprop": {"step_size": 1.0, "beta": 0.01},
    },
)
_COPYING = Recipe(
    title="copying task, 10 of 8 symbols",
    source="MomentumRNN paper, Tables 6-10 (1,000 blanks; 7,000 iterations)",
    optimizer="rmsprop",
    lr=2e-4,
    batch_size=128,
    epochs=70,
    hidden_size=190,
    length=1000,
    steps_per_epoch=100,
    rules={
        "momentum": {"mu": 0.6, "step_size": 0.9},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 100},
        "adam": {"mu": 0.6, "step_size": 2.0, "beta": 0.999},
        "rmsprop": {"step_size": 2.0, "beta": 0.999},
    },
)
_ADDING = Recipe(
    title="adding problem",
    source="MomentumRNN paper, Tables 6-10 (1,200 iterations)",
    optimizer="adam",
    lr=2e-4,
    batch_size=50,
    epochs=12,
    hidden_size=128,
    length=750,
    steps_per_epoch=100,
    rules={
        "momentum": {"mu": 0.9, "step_size": 2.0},
        "nag": {"step_size": 0.9},
        "sr": {"step_size": 0.9, "restart": 100},
        "adam": {"mu": 0.6, "step_size": 2.0, "beta": 0.999},
        "rmsprop": {"step_size": 2.0, "beta": 0.999},
    },
)

_SMOKE_IMAGES: dict[str, Any] = {
    "epochs": 1,
    "hidden_size": 16,
    "train_limit": 512,
    "test_limit": 128,
}
_SMOKE_GENERATED: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 5, "hidden_size": 16}

# task -> preset -> what differs from the full recipe
RECIPES: dict[str, tuple[Recipe, dict[str, dict[str, Any]]]] = {
    "digits": (_DIGITS, {"smoke": _SMOKE_IMAGES}),
    "pdigits": (
        replace(_DIGITS, title="8x8 digits pixel by pixel in a fixed random order, 64 steps"),
        {"smoke": _SMOKE_IMAGES},
    ),
    "mnist": (_MNIST, {"smoke": _SMOKE_IMAGES, "desk": {"epochs": 2, "hidden_size": 128}}),
    "pmnist": (_PMNIST, {"smoke": _SMOKE_IMAGES, "desk": {"epochs": 2, "hidden_size": 128}}),
    "adding": (
        _ADDING,
        {"smoke": {**_SMOKE_GENERATED, "length": 20}, "desk": {"length": 100, "epochs": 6}},
    ),
    "copying": (
        _COPYING,
        {"smoke": {**_SMOKE_GENERATED, "length": 20}, "desk": {"length": 100, "epochs": 10}},
    ),
}
# where the paper gives other hyperparameters for other sizes: (task, rule, test, what differs)
EXCEPTIONS: tuple[tuple[str, str, dict[str, int], dict[str, Any]], ...] = (
    ("mnist", "rmsprop", {"hidden_size": 128}, {"beta": 0.99}),
    ("pmnist", "sr", {"hidden_size": 128}, {"restart": 6, "step_size": 0.01}),
    ("copying", "momentum", {"length": 2000}, {"mu": 0.9, "step_size": 2.0}),
)
TASKS = tuple(RECIPES)


def recipe(task: str, preset: str) -> Recipe:
    """The recipe of a task at a preset's scale."""
    full, presets = RECIPES[task]
    return replace(full, **presets.get(preset, {}))


def rule_options(task: str, rule: str, sizes: dict[str, int | None]) -> dict[str, Any]:
    """The hyperparameters of a rule for a task, with the paper's exceptions for these sizes.

    The paper prints one form of its SRLSTM and released another: both have the same numbers.
    """
    rule = rule.removeprefix("released-")
    options = dict(RECIPES[task][0].rules[rule])
    for where, which, test, difference in EXCEPTIONS:
        if (where, which) == (task, rule) and all(sizes.get(k) == v for k, v in test.items()):
            options.update(difference)
    return options
