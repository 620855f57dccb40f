"""One step of each recurrence, as functions of pre-activations: the definition of every cell.

``pre`` is what the input contributes to the gates (``W x_t + b_ih``, or what a momentum rule made
of it), ``(B, G H)`` with the gates in the order of ``torch.nn``: i, f, g, o (LSTM), r, z, n (GRU).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

State = tuple[Tensor, ...]
Step = Callable[..., State]


def lstm_step(
    pre: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
) -> State:
    """Long short-term memory: ``(h, c)`` after one step, ``h`` projected where ``weight_hr`` is."""
    hidden, cell = state
    i, f, g, o = (pre + linear(hidden, weight_hh, bias_hh)).chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    hidden = torch.sigmoid(o) * torch.tanh(cell)
    return hidden if weight_hr is None else linear(hidden, weight_hr), cell


def gru_step(pre: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None = None) -> State:
    """Gated recurrent unit, with the reset gate on the product as in ``torch.nn.GRU``."""
    (hidden,) = state
    reset_in, update_in, new_in = pre.chunk(3, -1)
    reset_h, update_h, new_h = linear(hidden, weight_hh, bias_hh).chunk(3, -1)
    reset, update = torch.sigmoid(reset_in + reset_h), torch.sigmoid(update_in + update_h)
    new = torch.tanh(new_in + reset * new_h)
    return (new + update * (hidden - new),)


def rnn_tanh_step(
    pre: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None = None
) -> State:
    """Elman network with tanh, equation (1) of the MomentumRNN paper."""
    return (torch.tanh(pre + linear(state[0], weight_hh, bias_hh)),)


def rnn_relu_step(
    pre: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None = None
) -> State:
    """Elman network with ReLU."""
    return (torch.relu(pre + linear(state[0], weight_hh, bias_hh)),)


STEPS: dict[str, Step] = {
    "LSTM": lstm_step,
    "GRU": gru_step,
    "RNN_TANH": rnn_tanh_step,
    "RNN_RELU": rnn_relu_step,
}
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def steps_alive(time: int, lengths: Tensor) -> Tensor:
    """Which of the steps count, ``(T, B, 1)``, for lengths ``(B,)``."""
    steps = torch.arange(time, device=lengths.device)
    return (steps.unsqueeze(1) < lengths).unsqueeze(-1)


def scan_definition(
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    mask: Tensor | None = None,
) -> State:
    """A recurrence in plain PyTorch, one step after the other.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None and, for an LSTM, ``weight_hr`` or None.
        mask: True where a step counts, ``(T, B, 1)``; the state stays as it is elsewhere.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.
    """
    step = STEPS[mode]
    outputs: list[Tensor] = []
    for t in range(pre.shape[0]):
        new = step(pre[t], state, *weights)
        if mask is not None:
            new = tuple(torch.where(mask[t], a, b) for a, b in zip(new, state, strict=True))
        state = new
        outputs.append(state[0])
    return torch.stack(outputs), *state
