"""Recurrences and filters along time, as functions of tensors.

Each is one registered operator with a plain PyTorch definition beside it; this package knows no
modules.
"""

from torchmomentum.ops._affine import affine
from torchmomentum.ops._choose import CHOICES, choose, compiled_step_serves
from torchmomentum.ops._definition import scan_definition
from torchmomentum.ops._lengths import last_alive, steps_alive
from torchmomentum.ops._modifiers import PLAIN, Modifiers
from torchmomentum.ops._problem import Moments, Problem, Velocity
from torchmomentum.ops._run import gru_scan, lstm_scan, rnn_scan, run, scan
from torchmomentum.ops.backends import BACKENDS
from torchmomentum.ops.cells import Cell, modrelu
from torchmomentum.ops.cpu.library import available, product, timed
from torchmomentum.ops.cpu.pool import empty_cache, memory_changes
from torchmomentum.ops.cpu.step import step as compiled_step
from torchmomentum.ops.filters import (
    adam_scan,
    adam_scan_definition,
    complex_scan,
    complex_scan_definition,
    largest_drive,
    linear_scan,
    linear_scan_definition,
)
from torchmomentum.ops.filters.beside_one import filter_beside_one, joined, serves_beside_one
from torchmomentum.ops.triton.plan import Plan, planned

__all__ = [
    "BACKENDS",
    "CHOICES",
    "PLAIN",
    "Cell",
    "Modifiers",
    "Moments",
    "Plan",
    "Problem",
    "Velocity",
    "adam_scan",
    "adam_scan_definition",
    "affine",
    "available",
    "choose",
    "compiled_step",
    "compiled_step_serves",
    "complex_scan",
    "complex_scan_definition",
    "empty_cache",
    "filter_beside_one",
    "gru_scan",
    "joined",
    "largest_drive",
    "last_alive",
    "linear_scan",
    "linear_scan_definition",
    "lstm_scan",
    "memory_changes",
    "modrelu",
    "planned",
    "product",
    "rnn_scan",
    "run",
    "scan",
    "scan_definition",
    "serves_beside_one",
    "steps_alive",
    "timed",
]
