"""One recurrent layer from its input to its outputs, on the fastest kernels that serve it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from torchmomentum.ops import _cpu, _native
from torchmomentum.ops._library import transformed
from torchmomentum.ops._options import NOTHING, Options
from torchmomentum.ops._scan import scan
from torchmomentum.ops._steps import State


def layer(
    mode: str,
    x: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None = None,
    options: Options = NOTHING,
) -> State:
    """One recurrent layer in one direction.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``.
        x: The input, ``(T, B, I)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` (both or neither None),
            ``weight_hr`` or None.
        lengths: How many steps of each sequence count, int64 ``(B,)``; None for all.
        options: What happens besides.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.
    """
    weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = weights
    if weight_ih is None or weight_hh is None:
        raise TypeError("weight_ih and weight_hh must be tensors")
    if _cpu.serves(mode, x, state, weights, options):
        return _cpu.layer(mode, x, state, weights, lengths, options=options)
    # PyTorch's functions would be unrolled over time in a graph, and know no transforms
    free = not (torch.compiler.is_compiling() or transformed())
    plain = lengths is None and options.plain
    if plain and (free or _native.onednn_serves(mode, x, weights)):
        return _native.native(mode, x, state, weights)
    drive = linear(x, weight_ih, bias_ih)
    state = tuple(s.to(drive.dtype) for s in state)
    recurrent = [weight_hh, bias_hh] + ([weight_hr] if mode == "LSTM" else [])
    return scan(mode, drive, state, recurrent, lengths, options=options)
