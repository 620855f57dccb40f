"""The compiled CPU kernels as a backend: whole layers, with or without the Adam rule."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum.ops._precision import HALF
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.backends._backend import Backend
from torchmomentum.ops.cpu.layer import KERNELS
from torchmomentum.ops.cpu.library import available
from torchmomentum.ops.cpu.operators import layer

_DTYPES = (torch.float32, *HALF)


def _refusal(problem: Problem) -> str:
    x, modifiers = problem.x, problem.modifiers
    dtype = x.dtype
    if problem.cell.key not in KERNELS:
        return "there are no kernels for the cell"
    if dtype not in _DTYPES or x.device.type != "cpu":
        return "the tensors are of another type or device"
    biases = problem.bias_ih, problem.bias_hh
    extra = problem.extra.values()
    norms = modifiers.norm_hh, modifiers.norm_c, modifiers.norm_c_bias
    for t in (*problem.state, problem.weight_hh, problem.weight_ih, *biases, *extra, *norms):
        if t is not None and (t.dtype != dtype or t.device.type != "cpu"):
            return "the tensors differ in type or device"
    previous: Tensor | None = modifiers.previous  # may be float32 beside halves
    if previous is not None and (previous.device.type != "cpu" or previous.dtype == torch.float64):
        return "the tensors differ in type or device"
    if problem.is_projected():
        return "projection has no kernel"
    if norms[0] is None and any(n is not None for n in norms):
        return "the cell's normalization without that of the product has no kernel"
    if norms[1] is None and norms[2] is not None:
        return "a bias without the cell's normalization has no kernel"
    return "" if available() else "the kernels could not be built"


CPU = Backend(
    "cpu",
    "float32 and shorter types on a CPU: LSTM, GRU, RNN and modReLU, with or without the Adam "
    "rule, without projection, where the kernels could be built",
    _refusal,
    layer,
)
