"""An initialization after which each unit's drive has a root mean square of one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from torchmomentum.ops import steps_alive

_LEAST = 1e-6  # root mean square of a unit that sees something


@torch.no_grad()
def unit_rms_init_(
    layer: nn.RNNBase | nn.RNNCellBase,
    input: Tensor | PackedSequence,
    lengths: Tensor | None = None,
) -> None:
    r"""Scales each unit's input weights so that its drive has a root mean square of one on a batch.

    .. math:: w_i \leftarrow w_i / r_i, \quad b_i \leftarrow b_i / r_i, \qquad
              r_i^2 = \text{mean}_{t, n}\, (w_i \cdot x_{t, n} + b_i)^2

    Where inputs are small or few, drives begin far below what saturates a gate, and training spends
    its first epochs on their scale. This sets it before the first step, at no cost later: what a
    rule gains over a plain layer may be no more (``docs/findings.md``). The idea is that of
    layer-sequential unit variance (Mishkin and Matas, arXiv:1511.06422).

    It is the first layer's weights that are scaled, in both directions: layers above read what a
    recurrent layer has bounded. A unit that sees nothing but zeros stays as it is. Call it after
    any other initialization, with a batch of training inputs as the layer gets them.

    Args:
        layer: A layer or cell of this package or of ``torch.nn``, changed in place.
        input: A batch: ``(T, B, I)``, ``(B, T, I)`` with ``batch_first``, ``(B, I)`` for a cell, or
            a ``PackedSequence``.
        lengths: How many steps of each sequence count, ``(B,)``; None for all.

    Raises:
        TypeError: ``layer`` is no recurrent layer or cell.
        ValueError: The input has another number of features, or is not finite. Or there are lengths
            for a cell.

    Example:
        >>> lstm, x = nn.LSTM(3, 2), torch.randn(50, 8, 3) / 100
        >>> unit_rms_init_(lstm, x)
        >>> drives = x @ lstm.weight_ih_l0.T + lstm.bias_ih_l0
        >>> drives.square().mean((0, 1)).sqrt().allclose(torch.ones(8))
        True
    """
    if not isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        raise TypeError(f"layer must be a recurrent layer or cell, got {type(layer).__name__}")
    steps = _steps(layer, input, lengths)
    if steps.shape[-1] != layer.input_size:
        raise ValueError(f"input must have {layer.input_size} features, got {steps.shape[-1]}")
    parameters: dict[str, Tensor] = dict(layer.named_parameters(recurse=False))
    for name, weight in parameters.items():
        if name in ("weight_ih", "weight_ih_l0", "weight_ih_l0_reverse"):
            bias = parameters.get(name.replace("weight", "bias"))
            rms = linear(steps.to(weight.dtype), weight, bias).square().mean(0).sqrt()
            if not rms.isfinite().all():
                raise ValueError("input must be finite, and so must the drives that it makes")
            rms[rms < _LEAST] = 1.0
            weight /= rms.unsqueeze(1)
            if bias is not None:
                bias /= rms


def _steps(layer: Any, input: Tensor | PackedSequence, lengths: Tensor | None) -> Tensor:
    """All steps that count, ``(N, I)``."""
    if isinstance(input, PackedSequence):
        return input.data
    if lengths is None:
        return input.reshape(-1, input.shape[-1])
    if isinstance(layer, nn.RNNCellBase):
        raise ValueError("lengths are those of a layer's sequences: a cell takes one step")
    if layer.batch_first:
        input = input.transpose(0, 1)
    return input[steps_alive(len(input), lengths.to(input.device)).squeeze(-1)]
