"""The orthogonal network, DTRIV, as a cell of the sequence models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

import torchmomentum.nn as tnn
from torchmomentum._checks import check_number
from torchmomentum.experiments.models.sequence import CellKind

# rebase_every: 0 never rebases
OPTIONS: dict[str, Any] = {
    "orthogonal_lr": 1e-4,
    "rebase_every": 1,
    "map": "exp",
    "orthogonal_init": "cayley",
}


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    check_number("orthogonal_lr", options["orthogonal_lr"], 0.0, math.inf, open_low=True)
    every = options["rebase_every"]
    return {
        "rebase_every": None if every == 0 else every,
        "map": options["map"],
        "init": options["orthogonal_init"],
    }


def _groups(options: Mapping[str, Any], model: nn.Module) -> list[dict[str, Any]]:
    return tnn.orthogonal_parameter_groups(model, orthogonal_lr=options["orthogonal_lr"])


DTRIV = CellKind(tnn.OrthogonalRNN, tnn.OrthogonalRNN, OPTIONS, _settings, _groups)
