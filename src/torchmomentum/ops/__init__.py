"""Recurrences and filters along time, as functions of tensors.

Each is one registered operator with a plain PyTorch definition beside it; this package knows no
modules.
"""

from torchmomentum.ops._adam import adam_scan, adam_scan_definition, largest_drive
from torchmomentum.ops._linear import linear_scan, linear_scan_definition
from torchmomentum.ops._native import native, native_packed
from torchmomentum.ops._scan import scan, scan_definition
from torchmomentum.ops._steps import GATES, STEPS

__all__ = [
    "GATES",
    "STEPS",
    "adam_scan",
    "adam_scan_definition",
    "largest_drive",
    "linear_scan",
    "linear_scan_definition",
    "native",
    "native_packed",
    "scan",
    "scan_definition",
]
