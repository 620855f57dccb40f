"""The initialization of the MomentumRNN paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_choice
from torchmomentum.ops.cells import LSTM

IDENTITIES = ("stack", "gates")


def _has_forget_gate(layer: nn.Module) -> bool:
    return getattr(layer, "cell", None) is LSTM or isinstance(layer, (nn.LSTM, nn.LSTMCell))


@torch.no_grad()
def paper_init_(
    layer: nn.RNNBase | nn.RNNCellBase, forget_bias: float = 2.0, *, identity: str = "stack"
) -> None:
    r"""Initializes a recurrent layer or cell as the MomentumRNN paper does (Appendices A and F).

    Input weights are orthogonal, recurrent weights the identity, biases zero but for the LSTM's
    forget gate. The paper says "identity matrices"; its listing makes the identity of all the gates
    stacked, ones on the diagonal of the ``(G H, H)`` matrix, so that all gates but the first have
    none. The paper says "1" there (TIMIT: -4), its listing sets that in both biases:
    2 (-8) in effect. The argument here is that sum, half of it in each bias.

    Args:
        layer: A layer or cell of this package or of ``torch.nn``, changed in place.
        forget_bias: What an LSTM's forget gate starts from, the sum of both biases.
        identity: ``"stack"`` as in the listing, or ``"gates"`` for an identity in each gate.

    Raises:
        TypeError: ``layer`` is no recurrent layer or cell.
        ValueError: ``forget_bias`` is not finite, or ``identity`` is something else.

    Example:
        >>> lstm = nn.LSTM(3, 2)
        >>> paper_init_(lstm)
        >>> lstm.bias_ih_l0.tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        raise TypeError(f"layer must be a recurrent layer or cell, got {type(layer).__name__}")
    if not math.isfinite(forget_bias):
        raise ValueError(f"forget_bias must be finite, got {forget_bias}")
    check_choice("identity", identity, IDENTITIES)
    parameters: dict[str, Tensor] = dict(layer.named_parameters(recurse=False))
    for name, parameter in parameters.items():
        if name.startswith("weight_ih"):
            nn.init.orthogonal_(parameter)
        elif name.startswith("weight_hh"):
            rows = len(parameter) if identity == "stack" else layer.hidden_size
            for part in parameter.split(rows):
                nn.init.eye_(part)
        elif name.startswith(("bias_ih", "bias_hh")):
            nn.init.zeros_(parameter)
            size = layer.hidden_size
            if _has_forget_gate(layer):
                parameter[size : 2 * size] = forget_bias / 2
