"""The accuracy tables of the MomentumRNN paper and the figures of their losses, as studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torchmomentum.experiments.study import Scale, Study

_HERE = "torchmomentum.experiments.studies.momentumrnn.recipes"
_RULES = ("", "momentum-", "adam-", "rmsprop-", "sr-")
_LSTMS = (*(f"{rule}lstm" for rule in _RULES), "released-sr-lstm")
_DTRIVS = tuple(f"{rule}dtriv" for rule in _RULES)
_OPTIONS = ("epochs", "lr", "train_limit", "compile", "device", "precision", "threads")
_MNIST = ("mnist", "pmnist")


def _rows(tasks: Iterable[str], sizes: Mapping[int, Sequence[str]]) -> list[dict[str, Any]]:
    return [
        {"task": task, "N": size, "model": model}
        for task in tasks
        for size, models in sizes.items()
        for model in models
    ]


def _study(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Mapping[str, Any]],
) -> Study:
    return Study(
        name=name,
        title=title,
        recipe=f"{_HERE}:training",
        derive=f"{_HERE}:published",
        arms=rows,
        seeds=5,
        scales=_scales(rows),
        scale="desk",
        metric=columns[-1]["title"],
        higher_is_better="accuracy" in columns[-1]["title"],
        table="beside",
        figure="losses",
        view={"baseline": ["model"], "columns": list(columns)},
        options=_OPTIONS,
    )


def _accuracy(source: str) -> list[dict[str, Any]]:
    title = "test accuracy, %"
    return [{"title": title, "value": "best", "unit": 100, "digits": 2, "from": source}]


def _squared_error(source: str) -> list[dict[str, Any]]:
    form = {"unit": 1, "digits": 3}
    return [
        {"title": "validation MSE", "value": "chosen_validation", "from": f"{source}_VALIDATION"}
        | form,
        {"title": "test MSE", "value": "chosen", "from": source} | form,
    ]


_SMALL = {"epochs": 1, "train_limit": 128, "test_limit": 32, "batch_size": 32}
_FEW = {size: 8 for size in (84, 120, 128, 158, 170, 224, 256, 322, 360, 512)}
_SMOKE = {
    "mnist": {**_SMALL, "stand_in": "digits", "units": _FEW},
    "pmnist": {**_SMALL, "stand_in": "pdigits", "units": _FEW},
    "timit": {**_SMALL, "stand_in": "synthetic-speech", "units": _FEW},
}
_POOLED = {
    "pooled": True,
    "train_limit": 10_000,
    "held_out": 5000,
    "epochs": 10,
    "units": {128: 64, 256: 128, 170: 96, 360: 136, 512: 170},
}
_DESK: Mapping[str, Mapping[str, Any]] = {
    "mnist": _POOLED,
    "pmnist": _POOLED,
    "timit": {"stand_in": "spoken-digits", "epochs": 60, "batch_size": 32},
}
_PIXELS = (
    "images of 14 x 14 pixels (means of 2 x 2) and so 196 steps, 10,000 of the 60,000 to train on, "
    "5,000 kept to choose the epoch on, 10 epochs of 150"
)
_NOTES = {
    "mnist": _PIXELS,
    "pmnist": _PIXELS,
    "timit": "spoken digits joined to sentences instead of TIMIT, at a learning rate of 1e-3, in "
    "batches of 32, 60 epochs of 700",
}


def _note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is smaller at desk scale, in words."""
    sizes = dict.fromkeys((row["task"], row["N"]) for row in rows)
    told = list(dict.fromkeys(_NOTES[task] for task, _ in sizes))
    units = {size: _DESK[task].get("units", {}).get(size, size) for task, size in sizes}
    return ", ".join([*told, *(f"{few} units for {n}" for n, few in units.items() if few != n)])


def _scales(rows: Sequence[Mapping[str, Any]]) -> dict[str, Scale]:
    return {
        "smoke": Scale({"by_task": _SMOKE}, seeds=1, note="other data, 8 units, 1 epoch"),
        "desk": Scale({"by_task": _DESK}, seeds=3, note=_note(rows)),
        "paper": Scale(),
    }


TABLE1 = _study(
    "table1",
    "Table 1, LSTMs pixel by pixel",
    _rows(_MNIST, {128: _LSTMS[:2], 256: _LSTMS}),
    _accuracy("TABLE_1_11"),
)
TABLE2 = _study(
    "table2",
    "Table 2, LSTMs on speech",
    _rows(["timit"], {84: _LSTMS[:2], 120: _LSTMS[:2], 158: _LSTMS}),
    _squared_error("TABLE_2_12"),
)
TABLE4 = _study(
    "table4",
    "Table 4, orthogonal networks pixel by pixel",
    _rows(["pmnist"], dict.fromkeys((170, 360, 512), _DTRIVS[:2])),
    _accuracy("TABLE_4_13"),
)
TABLE5 = _study(
    "table5",
    "Table 5, orthogonal networks on speech",
    _rows(["timit"], dict.fromkeys((224, 322), _DTRIVS[:2])),
    _squared_error("TABLE_5"),
)
TABLE11 = _study(
    "table11",
    "Table 11, LSTMs of 128 units pixel by pixel",
    _rows(_MNIST, {128: _LSTMS}),
    _accuracy("TABLE_1_11"),
)
TABLE12 = _study(
    "table12",
    "Table 12, LSTMs of 120 units on speech",
    _rows(["timit"], {120: _LSTMS}),
    _squared_error("TABLE_2_12"),
)
TABLE13 = _study(
    "table13",
    "Table 13, all orthogonal networks pixel by pixel",
    _rows(["pmnist"], {170: _DTRIVS[:2], 360: _DTRIVS[:2], 512: _DTRIVS}),
    _accuracy("TABLE_4_13"),
)


def _figure(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    faster: Mapping[str, Sequence[str]],
) -> Study:
    """The losses of some models; ``faster`` are, by task, those that are so in the paper."""
    return replace(
        TABLE1,
        name=name,
        title=title,
        arms=rows,
        scales=_scales(rows),
        derive="",
        metric="training loss",
        higher_is_better=False,
        table="convergence",
        view={"baseline": ["model"], "faster": {task: list(each) for task, each in faster.items()}},
    )


_FASTER = {
    "mnist": ("momentum-lstm", "adam-lstm", "rmsprop-lstm"),
    "timit": ("momentum-lstm", "sr-lstm", "released-sr-lstm"),
}
FIGURE3 = _figure(
    "figure3",
    "Figure 3, losses of LSTMs",
    [*_rows(["mnist"], {256: _LSTMS}), *_rows(["timit"], {158: _LSTMS})],
    _FASTER,
)
FIGURE6 = _figure(
    "figure6",
    "Figure 6, losses of orthogonal networks",
    [*_rows(["pmnist"], {512: _DTRIVS[:2]}), *_rows(["timit"], {322: _DTRIVS[:2]})],
    dict.fromkeys(("pmnist", "timit"), ("momentum-dtriv",)),
)
FIGURE9 = _figure(
    "figure9",
    "Figure 9, losses of smaller LSTMs",
    [*_rows(["mnist"], {128: _LSTMS}), *_rows(["timit"], {120: _LSTMS})],
    _FASTER,
)
FIGURE11 = _figure(
    "figure11",
    "Figure 11, losses of all orthogonal networks",
    _rows(["pmnist"], {512: _DTRIVS}),
    {"pmnist": _DTRIVS[1:]},
)
