"""The recurrences over pre-activations ``(T, B, G H)``: what every rule can run on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops import _gru_kernel, _lstm_kernel, _rnn_kernel
from torchmomentum.ops._library import define_recurrence
from torchmomentum.ops._steps import GATES, STEPS, State


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


def _lstm_definition(
    pre: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    mask: Tensor | None,
) -> State:
    return scan_definition("LSTM", pre, (h, c), (weight_hh, bias_hh, weight_hr), mask)


def _gru_definition(
    pre: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, mask: Tensor | None
) -> State:
    return scan_definition("GRU", pre, (h,), (weight_hh, bias_hh), mask)


def _rnn_definition(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    mask: Tensor | None,
    relu: bool,
) -> State:
    mode = "RNN_RELU" if relu else "RNN_TANH"
    return scan_definition(mode, pre, (h,), (weight_hh, bias_hh), mask)


_lstm_scan = define_recurrence(
    "lstm_scan",
    arguments="Tensor pre, Tensor h, Tensor c, Tensor weight_hh, Tensor? bias_hh, "
    "Tensor? weight_hr, Tensor? mask",
    outputs=3,
    saved=3,
    definition=_lstm_definition,
    forward=_lstm_kernel.forward,
    backward=_lstm_kernel.backward,
    fake=_lstm_kernel.fake,
)
_gru_scan = define_recurrence(
    "gru_scan",
    arguments="Tensor pre, Tensor h, Tensor weight_hh, Tensor? bias_hh, Tensor? mask",
    outputs=2,
    saved=2,
    definition=_gru_definition,
    forward=_gru_kernel.forward,
    backward=_gru_kernel.backward,
    fake=_gru_kernel.fake,
)
_rnn_scan = define_recurrence(
    "rnn_scan",
    arguments="Tensor pre, Tensor h, Tensor weight_hh, Tensor? bias_hh, Tensor? mask",
    constants="bool relu",
    outputs=2,
    definition=_rnn_definition,
    forward=_rnn_kernel.forward,
    backward=_rnn_kernel.backward,
    fake=_rnn_kernel.fake,
)


def scan(
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    mask: Tensor | None = None,
) -> State:
    """Runs a recurrence over pre-activations as one operator. See :func:`scan_definition`.

    Half-precision input is computed in float32 and returned in its own type.

    Raises:
        ValueError: An unknown ``mode``, or pre-activations whose width does not fit the state.
    """
    if mode not in STEPS:
        raise ValueError(f"mode must be one of {', '.join(STEPS)}, got {mode!r}")
    weight_hh = weights[0]
    width = pre.shape[-1]
    if weight_hh is None or weight_hh.shape[0] != width or width % GATES[mode]:
        raise ValueError(
            f"{mode} needs a weight_hh of {width} rows for pre-activations {width} wide"
        )
    dtype = pre.dtype
    compute = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
    pre = pre.to(compute)
    rest = [x if x is None else x.to(compute) for x in (*state, *weights)]
    if mode == "LSTM":
        results = _lstm_scan(pre, *rest, *[None] * (5 - len(rest)), mask)[:3]
    elif mode == "GRU":
        results = _gru_scan(pre, *rest, *[None] * (3 - len(rest)), mask)[:2]
    else:
        results = _rnn_scan(pre, *rest, *[None] * (3 - len(rest)), mask, mode == "RNN_RELU")
    return tuple(x.to(dtype) for x in results)
