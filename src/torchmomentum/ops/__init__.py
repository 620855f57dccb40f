"""Recurrences and filters along time, as functions of tensors.

Each is one registered operator with a plain PyTorch definition beside it; this package knows no
modules.
"""

from torchmomentum.ops._adam import adam_scan, adam_scan_definition, largest_drive
from torchmomentum.ops._cpu import Moments
from torchmomentum.ops._cpu import layer as compiled_layer
from torchmomentum.ops._cpu import serves as compiled_serves
from torchmomentum.ops._cpu import step as compiled_step
from torchmomentum.ops._cpu import step_serves as compiled_step_serves
from torchmomentum.ops._kernels import available, product, timed
from torchmomentum.ops._layer import layer
from torchmomentum.ops._linear import linear_scan, linear_scan_definition
from torchmomentum.ops._memory import empty_cache, memory_changes
from torchmomentum.ops._native import native, native_packed
from torchmomentum.ops._options import Options
from torchmomentum.ops._scan import BACKENDS, gru_scan, lstm_scan, rnn_scan, scan
from torchmomentum.ops._steps import GATES, STEPS, modrelu, scan_definition, steps_alive
from torchmomentum.ops._triton import Plan, planned

__all__ = [
    "BACKENDS",
    "GATES",
    "STEPS",
    "Moments",
    "Options",
    "Plan",
    "adam_scan",
    "adam_scan_definition",
    "available",
    "compiled_layer",
    "compiled_serves",
    "compiled_step",
    "compiled_step_serves",
    "empty_cache",
    "gru_scan",
    "largest_drive",
    "layer",
    "linear_scan",
    "linear_scan_definition",
    "lstm_scan",
    "memory_changes",
    "modrelu",
    "native",
    "native_packed",
    "planned",
    "product",
    "rnn_scan",
    "scan",
    "scan_definition",
    "steps_alive",
    "timed",
]
