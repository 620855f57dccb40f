"""Where Triton's kernels run.

Triton itself is imported where a kernel is launched, and only there. Under its interpreter
(``TRITON_INTERPRET=1``) the same kernels run on a CPU, slowly: for tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

# asked once: torch.compile cannot trace the question
_INSTALLED = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def runs_on(device: torch.device) -> bool:
    """Whether Triton is there and runs on a device."""
    return (device.type == "cuda" or (device.type == "cpu" and interpreted())) and _INSTALLED


def on_device(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Makes the device of a tensor the one that kernels are launched on."""
    return torch.cuda.device(x.device) if x.device.type == "cuda" else contextlib.nullcontext()
