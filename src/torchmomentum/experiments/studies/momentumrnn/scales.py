"""How much of the MomentumRNN paper is run at each scale, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torchmomentum.experiments.study import Scale

Rows = list[dict[str, Any]]
_SMALL = {"epochs": 1, "train_limit": 128, "test_limit": 32, "batch_size": 32}
_FEW = {size: 8 for size in (84, 120, 128, 158, 170, 190, 224, 256, 322, 360, 512, 1150)}
_BRIEF = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 8, "units": _FEW}
_SMOKE: Mapping[str, Mapping[str, Any]] = {
    "mnist": {**_SMALL, "stand_in": "digits", "units": _FEW},
    "pmnist": {**_SMALL, "stand_in": "pdigits", "units": _FEW},
    "timit": {**_SMALL, "stand_in": "synthetic-speech", "units": _FEW},
    "ptb": {"epochs": 1, "stand_in": "synthetic-words", "units": _FEW, "embedding_size": 8},
    "copying": {**_BRIEF, "lengths": {1000: 5, 2000: 10}},
    "adding": {**_BRIEF, "lengths": {750: 10}},
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
    "ptb": {
        "stand_in": "words",
        "epochs": 8,
        "units": {1150: 400},
        "embedding_size": 200,
        "test_columns": 10,
    },
    "copying": {"epochs": 10, "lengths": {1000: 50, 2000: 100}, "units": {190: 96}},
    "adding": {"epochs": 12, "lengths": {750: 200}, "units": {128: 64}},
}
_PIXELS = (
    "images of 14 x 14 pixels (means of 2 x 2) and so 196 steps, 10,000 of the 60,000 to train on, "
    "5,000 held out, 10 epochs of 150"
)
_NOTES = {
    "mnist": _PIXELS,
    "pmnist": _PIXELS,
    "timit": "spoken digits joined to sentences instead of TIMIT, at a learning rate of 1e-3, in "
    "batches of 32, 60 epochs of 700",
    "ptb": "tinyshakespeare instead of the Penn Treebank, 5,000 words to know, embeddings of 200 "
    "instead of 400, 8 epochs of 500",
    "copying": "50 and 100 blanks instead of 1,000 and 2,000, 1,000 iterations of 7,000",
    "adding": "200 steps instead of 750",
}


def rows(tasks: Iterable[str], sizes: Mapping[Any, Sequence[str]], **more: Any) -> Rows:
    """The rows of a table: every task, size and its models, and what else they have in common.

    The size of what is not trained is ``-``.
    """
    return [
        {"task": task, **more, "N": size, "model": model}
        for task in tasks
        for size, models in sizes.items()
        for model in models
    ]


def _note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is smaller at desk scale, in words."""
    sizes = dict.fromkeys((row["task"], row["N"]) for row in rows)
    told = list(dict.fromkeys(_NOTES[task] for task, _ in sizes))
    units = {size: _DESK[task].get("units", {}).get(size, size) for task, size in sizes}
    return ", ".join([*told, *(f"{few} units for {n}" for n, few in units.items() if few != n)])


def scales(rows: Sequence[Mapping[str, Any]]) -> dict[str, Scale]:
    """The three scales of a study with these rows."""
    return {
        "smoke": Scale({"by_task": _SMOKE}, seeds=1, note="other data, 8 units, 1 epoch"),
        "desk": Scale({"by_task": _DESK}, seeds=3, note=_note(rows)),
        "paper": Scale(),
    }
