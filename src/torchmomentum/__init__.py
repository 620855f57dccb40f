"""torchmomentum: momentum in the optimizer, the recurrent cell and the sampler.

The subpackages are imported when they are first used: ``torchmomentum.nn`` (recurrent layers and
momentum rules), ``torchmomentum.optim`` (NAG, SRSGD), ``torchmomentum.sampling`` (LMC, HMC),
``torchmomentum.ops`` (the recurrences as functions), ``torchmomentum.schedules``,
``torchmomentum.testing`` (the contract). Only the operators are registered at once, so that
exported programs load after ``import torchmomentum``.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchmomentum import nn, ops, optim, sampling, schedules, testing

__version__ = "0.1.0"

__all__ = ["__version__", "nn", "ops", "optim", "sampling", "schedules", "testing"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return importlib.import_module(f"torchmomentum.{name}")
    raise AttributeError(f"module 'torchmomentum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _is_our_command() -> bool:
    """Whether this process is the command line, whose help does without torch."""
    ran = any(
        option == "-m" and module.partition(".")[0] == "torchmomentum"
        for option, module in itertools.pairwise(sys.orig_argv)
    )
    return ran or [PurePath(name).stem for name in sys.argv[:1]] == ["torchmomentum"]


if not _is_our_command():
    importlib.import_module("torchmomentum.ops")
