"""Experiments: what trains, compares, reproduces and measures. An optional extra.

    studies   what is run, as data          tasks    what is trained on
    engine    computes recipes              models   what is trained
    report    makes tables and figures      data     where it comes from
    bench     speed and memory              cli      the command line

Imports point one way: cli, then studies and bench, then engine and report, then tasks and models,
then data.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchmomentum.experiments.api import compare
    from torchmomentum.experiments.models import Model
    from torchmomentum.experiments.registry import register
    from torchmomentum.experiments.result import Result, Results
    from torchmomentum.experiments.study import Scale, Study
    from torchmomentum.experiments.tasks import Data, Task
    from torchmomentum.experiments.tasks.own import OwnData

_PLACES = {
    "Data": "tasks",
    "Model": "models",
    "OwnData": "tasks.own",
    "Result": "result",
    "Results": "result",
    "Scale": "study",
    "Study": "study",
    "Task": "tasks",
    "compare": "api",
    "register": "registry",
}
__all__ = [
    "Data",
    "Model",
    "OwnData",
    "Result",
    "Results",
    "Scale",
    "Study",
    "Task",
    "compare",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
