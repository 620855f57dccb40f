"""The rules along time: what turns a sequence of drives into what a cell reads."""

from torchmomentum.ops.filters.adam import adam_scan, adam_scan_definition, largest_drive
from torchmomentum.ops.filters.complex import complex_scan, complex_scan_definition
from torchmomentum.ops.filters.linear import linear_scan, linear_scan_definition

__all__ = [
    "adam_scan",
    "adam_scan_definition",
    "complex_scan",
    "complex_scan_definition",
    "largest_drive",
    "linear_scan",
    "linear_scan_definition",
]
