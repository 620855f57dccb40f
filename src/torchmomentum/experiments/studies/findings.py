"""Is it momentum, adaptation, or scale? The rules beside controls, tuned alike, as studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchmomentum.experiments.studies.tuning import Tuning
from torchmomentum.experiments.study import Scale, Study
from torchmomentum.experiments.tasks import task_of

_GAIN = 8  # of the control, and of momentum at 3.2 / (1 - 0.6)
# what has no momentum and no adaptation in time, but another scale of the drive; `_study` adds the
# gain that momentum has at the recipe's numbers
CONTROLS = (
    f"gain-{{}}@gain={_GAIN}",
    f"learned-gain-{{}}@gain={_GAIN}",
    "standardized-{}",
    "rms-{}",
    "layer-norm-{}",
)
# the rules at the recipe's numbers, and momentum at the control's gain, 4 / (1 - 0.6)
RULES = (
    *("momentum-{}", "momentum-{}@mu=0.6@step_size=3.2", "adam-{}", "rmsprop-{}", "sr-{}"),
    "released-sr-{}",
)
_HELD_OUT = 5000  # the paper trains on all samples, which leaves none to tune on
_POOLED = {"pooled": True, "train_limit": 10_000, "held_out": _HELD_OUT}
_OPTIONS = ("epochs", "train_limit", "hidden_size", "compile", "device", "precision", "threads")


def _biases(bias: float, gain: float) -> tuple[str, ...]:
    """Arms that tell what a gain does to the drive from what it does to the forget gate's bias.

    Half of the bias is the drive's, so that a gain of :math:`g` makes :math:`(1 + g) / 2` of it.

    Args:
        bias: What the plain cell's forget gate begins with.
        gain: That of momentum at the recipe's numbers.
    """
    kept = f"@forget_bias={2 * bias / (1 + _GAIN):.4g}"  # times (1 + gain) / 2: the plain cell's
    return (
        f"{{}}@forget_bias={bias * (1 + gain) / 2:.4g}",
        f"{CONTROLS[0]}{kept}",
        f"{RULES[1]}{kept}",
    )


def _study(
    name: str,
    task: str,
    rates: Sequence[float],
    seeds: int,
    settings: Mapping[str, Any],
    note: str,
    *,
    cell: str = "lstm",
    stand_in: str | None = None,
    paper: Mapping[str, Any] | None = None,
    controls: Sequence[str] = (),
    trials: int = 2,
) -> Study:
    found = task_of(task)
    bias = found.recipe_of(cell, settings).get("forget_bias")
    momentum = found.rule_options("momentum", {**found.recipe, **settings}, cell)
    gain = momentum["step_size"] / (1 - momentum["mu"])
    if momentum["mu"]:  # else it is a gain itself
        controls = (f"gain-{{}}@gain={gain:.4g}", *controls)
    if bias:
        controls = (*controls, *_biases(bias, gain))
    models = [each.format(cell) for each in ("{}", *CONTROLS, *controls, *RULES)]
    if cell == "lstm":  # the scale at the beginning alone
        models.insert(1 + len(CONTROLS), f"{cell}@init={found.recipe.get('init', 'torch')}-unit")
    return Study(
        name=name,
        title=f"Is it momentum, adaptation, or scale? {found.title}",
        recipe="torchmomentum.experiments.studies.training:training_recipe",
        axes={"model": models},
        settings={"task": task, "scale": "paper", "shared": ("hidden_size",)},
        seeds=seeds,
        scales={
            "smoke": Scale({"task": stand_in or task, "scale": "smoke"}, seeds=2, note="1 epoch"),
            "desk": Scale({"scale": "desk", **settings}, note=note),
            "paper": Scale(paper or {}),
        },
        scale="desk",
        metric=found.metric,
        higher_is_better=found.higher_is_better,
        table="tuned",
        figure="curves",
        view={"references": models[:2]},
        options=_OPTIONS,
        tuning=Tuning("lr", rates, trials),
    )


FINDINGS_DIGITS = _study(
    "findings-digits",
    "pdigits",
    (1e-3, 3e-3, 1e-2, 3e-2),
    10,
    {},
    "64 units, 40 epochs",
    trials=4,  # few may choose a rate by accident, and a run takes seconds
)
FINDINGS_MNIST = _study(
    "findings-mnist",
    "pmnist",
    (1e-3, 3e-3, 1e-2, 3e-2),
    5,
    {**_POOLED, "epochs": 10, "hidden_size": 64},
    "images of 14 x 14 pixels, 10,000 of the 60,000 to train on, 64 units, 10 epochs",
    stand_in="pdigits",
    paper={"held_out": _HELD_OUT},
)
FINDINGS_ADDING = _study(
    "findings-adding",
    "adding",
    (1e-3, 5e-3, 2e-2, 8e-2),
    10,
    {"length": 100, "epochs": 12, "hidden_size": 64},
    "100 steps, 64 units, 1,200 iterations",
    trials=4,  # a seed solves it or does not
)
FINDINGS_COPYING = _study(
    "findings-copying",
    "copying",
    (1e-3, 5e-3, 2e-2, 8e-2),
    5,
    {"length": 50, "epochs": 10, "hidden_size": 64},
    "50 blanks, 64 units, 1,000 iterations",
)
FINDINGS_SPEECH = _study(
    "findings-speech",
    "spoken-digits",
    (1e-3, 3e-3, 1e-2, 3e-2),
    5,
    {"epochs": 30, "hidden_size": 84},
    "84 units, 30 epochs",
    controls=("rmsprop-{}@step_size=1@beta=0.9",),  # the recipe's has hardly begun to forget
    stand_in="synthetic-speech",
)
FINDINGS_WORDS = _study(
    "findings-words",
    "words",
    (3.0, 10.0, 30.0, 100.0),  # a gain of 8 wants lower rates than the paper's 30
    5,
    {"epochs": 4, "hidden_size": 100, "embedding_size": 50, "vocabulary": 2000},
    "the 2,000 commonest words, embeddings of 50, 100 units, 4 epochs",
    cell="awd-lstm",
    stand_in="synthetic-words",
)
