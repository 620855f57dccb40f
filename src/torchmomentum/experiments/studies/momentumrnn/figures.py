"""The figures of losses of the MomentumRNN paper, as studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchmomentum.experiments.published import momentumrnn
from torchmomentum.experiments.studies.momentumrnn.scales import rows, scales
from torchmomentum.experiments.studies.momentumrnn.tables import AWD_LSTMS, DTRIVS, LSTMS, TABLE1
from torchmomentum.experiments.study import Scale, Study


def _with(scale: Scale, **settings: Any) -> Scale:
    """A scale with further settings."""
    return replace(scale, settings={**scale.settings, **settings})


def _smaller(scale: Scale, note: str, **by_task: Mapping[str, Any]) -> Scale:
    """A scale with one seed and less of some tasks."""
    given = scale.settings["by_task"]
    less = {task: {**given[task], **each} for task, each in by_task.items()}
    return replace(
        scale, settings={**scale.settings, "by_task": {**given, **less}}, seeds=1, note=note
    )


def _figure(name: str, title: str, arms: Sequence[Mapping[str, Any]]) -> Study:
    """The losses of some models."""
    return replace(
        TABLE1,
        name=name,
        title=title,
        arms=arms,
        scales=scales(arms),
        metric="training loss",
        higher_is_better=False,
        table="convergence",
        view={"baseline": ["model"]},
    )


_COPYING = {length: rows(["copying"], {190: LSTMS}, length=length) for length in (1000, 2000)}
_ADDING = rows(["adding"], {128: LSTMS}, length=750)
FIGURE3 = _figure(
    "figure3",
    "Figure 3, losses of LSTMs",
    [*rows(["mnist"], {256: LSTMS}), *rows(["timit"], {158: LSTMS})],
)
FIGURE4 = _figure(
    "figure4",
    "Figure 4, losses of LSTMs on the copying and the adding task",
    [*_COPYING[2000], *_ADDING],
)
FIGURE5 = _figure(
    "figure5",
    "Figure 5, losses of AWD-LSTMs on words",
    rows(["ptb"], {1150: AWD_LSTMS}),
)
FIGURE6 = _figure(
    "figure6",
    "Figure 6, losses of orthogonal networks",
    [*rows(["pmnist"], {512: DTRIVS[:2]}), *rows(["timit"], {322: DTRIVS[:2]})],
)
FIGURE9 = _figure(
    "figure9",
    "Figure 9, losses of smaller LSTMs",
    [*rows(["mnist"], {128: LSTMS}), *rows(["timit"], {120: LSTMS})],
)
FIGURE10 = _figure(
    "figure10",
    "Figure 10, losses of LSTMs on the copying task",
    [*_COPYING[1000], *_COPYING[2000]],
)
FIGURE11 = _figure(
    "figure11",
    "Figure 11, losses of all orthogonal networks",
    rows(["pmnist"], {512: DTRIVS}),
)

_BOTH = ("@mu=0.6@step_size=0.9", "@mu=0.999@step_size=0.6")  # Table 7's, and the released data's
_RECORDED = rows(
    ["pmnist"],
    {
        170: [
            f"{rule}{cell}{numbers}"
            for cell in ("rnn", "dtriv")
            for rule, numbers in (("", ""), *(("momentum-", each) for each in _BOTH))
        ]
    },
)
_NORMS = scales(_RECORDED)
FIGURE2 = Study(
    name="figure2",
    title="Figure 2, gradients of the loss with respect to states and inputs",
    recipe="torchmomentum.experiments.studies.momentumrnn.recipes:gradients",
    arms=_RECORDED,
    settings={"every": 500},
    scales={
        "smoke": _with(_NORMS["smoke"], every=2),
        "desk": _with(_NORMS["desk"], every=50),
        "paper": Scale(seeds=1),
    },
    scale="desk",
    metric="norm of a gradient",
    table="gradients",
    figure="gradients",
    view={"baseline": ["model"]},
    options=(*(name for name in TABLE1.options if name != "precision"), "every"),
)
_GRID = [
    {"task": task, "N": size, "model": "momentum-lstm", "mu": mu, "step_size": step}
    for task, size in (("mnist", 256), ("timit", 158))
    for mu in momentumrnn.FIGURE_7_MU
    for step in momentumrnn.FIGURE_7_STEP_SIZE
]
_LEARNED = [
    {**each, "model": "momentum-lstm@learnable=true"}
    for each in _GRID
    if (each["task"], each["mu"], each["step_size"]) in (("mnist", 0.6, 0.6), ("timit", 0.3, 0.1))
]
_ABLATION = scales([*_GRID, *_LEARNED])
FIGURE7 = Study(
    name="figure7",
    title="Figure 7, momentum and step size of MomentumLSTM",
    recipe="torchmomentum.experiments.studies.momentumrnn.recipes:training",
    arms=[*_GRID, *_LEARNED],
    seeds=1,
    scales={
        "smoke": _ABLATION["smoke"],
        "desk": _smaller(
            _ABLATION["desk"],
            "images of 14 x 14 pixels (means of 2 x 2), 10,000 of the 60,000 to train on, 5 epochs "
            "of 150, 64 units for 256; spoken digits joined to sentences instead of TIMIT, at a "
            "learning rate of 1e-3, 60 epochs of 700, 84 units for 158",
            mnist={"epochs": 5, "units": {256: 64}},
            timit={"units": {158: 84}},
        ),
        "paper": Scale(seeds=5),
    },
    scale="desk",
    metric="test accuracy in % (MNIST) and test MSE (TIMIT)",
    table="grid",
    figure="grid",
    view={
        "grid": ["mu", "step_size"],
        "value": {"mnist": "best", "timit": "chosen"},
        "unit": {"mnist": 100, "timit": 1},
        "published": {task: list(map(list, each)) for task, each in momentumrnn.FIGURE_7.items()},
        "axes": {
            "mu": list(momentumrnn.FIGURE_7_MU),
            "step_size": list(momentumrnn.FIGURE_7_STEP_SIZE),
        },
    },
    options=TABLE1.options,
)
