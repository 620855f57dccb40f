"""One step of each recurrence, as functions of pre-activations: the definition of every cell.

``pre`` is what the input contributes to the gates (``W x_t + b_ih``, or what a momentum rule made
of it), ``(B, G H)`` with the gates in the order of ``torch.nn``: i, f, g, o (LSTM), r, z, n (GRU).
``operand`` is what the recurrent weights multiply, the last ``h`` itself but for an
:class:`~torchmomentum.ops.Options`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from torchmomentum.ops._options import NOTHING, Options

State = tuple[Tensor, ...]
Step = Callable[..., State]


def _recurrent(
    operand: Tensor, weight_hh: Tensor, bias_hh: Tensor | None, options: Options
) -> Tensor:
    if options.norm_hh is None:
        return linear(operand, weight_hh, bias_hh)
    normal = layer_norm(linear(operand, weight_hh), options.norm_hh.shape, options.norm_hh)
    return normal if bias_hh is None else normal + bias_hh


def lstm_step(
    pre: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    operand: Tensor | None = None,
    options: Options = NOTHING,
) -> State:
    """Long short-term memory: ``(h, c)`` after one step, ``h`` projected where ``weight_hr`` is."""
    hidden, cell = state
    operand = hidden if operand is None else operand
    i, f, g, o = (pre + _recurrent(operand, weight_hh, bias_hh, options)).chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    shown = cell
    if options.norm_c is not None:
        shown = layer_norm(cell, options.norm_c.shape, options.norm_c, options.norm_c_bias)
    hidden = torch.sigmoid(o) * torch.tanh(shown)
    return hidden if weight_hr is None else linear(hidden, weight_hr), cell


def gru_step(
    pre: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    operand: Tensor | None = None,
    options: Options = NOTHING,
) -> State:
    """Gated recurrent unit, with the reset gate on the product as in ``torch.nn.GRU``."""
    (hidden,) = state
    operand = hidden if operand is None else operand
    reset_in, update_in, new_in = pre.chunk(3, -1)
    reset_h, update_h, new_h = _recurrent(operand, weight_hh, bias_hh, options).chunk(3, -1)
    reset, update = torch.sigmoid(reset_in + reset_h), torch.sigmoid(update_in + update_h)
    new = torch.tanh(new_in + reset * new_h)
    return (new + update * (hidden - new),)


def _rnn_step(
    activation: Callable[[Tensor], Tensor],
    pre: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    operand: Tensor | None = None,
    options: Options = NOTHING,
) -> State:
    """Elman network, equation (1) of the MomentumRNN paper."""
    operand = state[0] if operand is None else operand
    return (activation(pre + _recurrent(operand, weight_hh, bias_hh, options)),)


def modrelu(x: Tensor, bias: Tensor) -> Tensor:
    r"""The rectified modulus, :math:`\text{sign}(x)\,\max(|x| + b, 0)`: Arjovsky et al. (2016).

    Args:
        x: ``(..., H)``.
        bias: :math:`b`, ``(H,)``; negative for a dead zone around zero.
    """
    return torch.sign(x) * torch.relu(x.abs() + bias)


def rnn_modrelu_step(
    pre: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    bias_modrelu: Tensor,
    **besides: Tensor | Options | None,
) -> State:
    """Elman network with modReLU, the orthogonal networks' step."""
    activation = partial(modrelu, bias=bias_modrelu)
    return _rnn_step(activation, pre, state, weight_hh, bias_hh, **besides)  # type: ignore[arg-type]


STEPS: dict[str, Step] = {
    "LSTM": lstm_step,
    "GRU": gru_step,
    "RNN_TANH": partial(_rnn_step, torch.tanh),
    "RNN_RELU": partial(_rnn_step, torch.relu),
    "RNN_MODRELU": rnn_modrelu_step,
}
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1, "RNN_MODRELU": 1}


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
    options: Options = NOTHING,
) -> State:
    """A recurrence in plain PyTorch, one step after the other.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH``, ``RNN_RELU`` or ``RNN_MODRELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None and, for an LSTM, ``weight_hr`` or None; for
            modReLU its bias.
        mask: True where a step counts, ``(T, B, 1)``; the state stays as it is elsewhere.
        options: What happens besides.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.
    """
    step = STEPS[mode]
    outputs: list[Tensor] = []
    mu, before = options.momenta(pre.shape[0], pre.dtype), options.previous
    for t in range(pre.shape[0]):
        operand = options.operand(state[0], before, None if mu is None else mu[t])
        new = step(pre[t], state, *weights, operand=operand, options=options)
        new = options.zoned(t, new, state)
        if mask is not None:
            new = tuple(torch.where(mask[t], a, b) for a, b in zip(new, state, strict=True))
        before, state = state[0], new
        outputs.append(state[0])
    return torch.stack(outputs), *state
