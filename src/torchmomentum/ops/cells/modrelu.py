"""The Elman network with modReLU, the step of orthogonal networks."""

from __future__ import annotations

import torch
from torch import Tensor

from torchmomentum.ops._modifiers import Modifiers
from torchmomentum.ops.cells._cell import Cell, Extra, State, Weights, recurrent, register


def modrelu(x: Tensor, bias: Tensor) -> Tensor:
    r"""The rectified modulus, :math:`\text{sign}(x)\,\max(|x| + b, 0)`: Arjovsky et al. (2016).

    Args:
        x: ``(..., H)``.
        bias: :math:`b`, ``(H,)``; negative for a dead zone around zero.
    """
    return torch.sign(x) * torch.relu(x.abs() + bias)


def _step(
    pre: Tensor, state: State, weights: Weights, operand: Tensor, modifiers: Modifiers
) -> State:
    total = pre + recurrent(weights, operand, modifiers)
    return (modrelu(total, weights.extra["bias_modrelu"]),)


RNN_MODRELU = register(
    Cell(
        "RNN_MODRELU",
        gates=1,
        step=_step,
        extra=(Extra("bias_modrelu", lambda h, width: (width,)),),
    )
)
