"""torchmomentum: momentum in the optimizer, the recurrent cell and the sampler.

The subpackages are imported when they are first used: ``torchmomentum.nn`` (recurrent layers and
momentum rules), ``torchmomentum.optim`` (NAG, SRSGD), ``torchmomentum.sampling`` (LMC, HMC),
``torchmomentum.ops`` (the recurrences as functions), ``torchmomentum.schedules``,
``torchmomentum.testing`` (the contract). Only the operators of exported programs are registered at
once, where torch has been imported: such a program loads after ``import torch, torchmomentum``.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchmomentum import nn, ops, optim, sampling, schedules, testing

__version__ = "0.1.0"

__all__ = ["__version__", "nn", "ops", "optim", "sampling", "schedules", "testing"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return importlib.import_module(f"torchmomentum.{name}")
    raise AttributeError(f"module 'torchmomentum' has no attribute {name!r}")


if "torch" in sys.modules:  # the command line's help does without
    importlib.import_module("torchmomentum.ops")


def __dir__() -> list[str]:
    return sorted(__all__)
