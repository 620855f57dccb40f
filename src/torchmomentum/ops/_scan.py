"""The recurrences over pre-activations ``(T, B, G H)``: what every rule can run on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops import _cpu, _gru_kernel, _lstm_kernel, _rnn_kernel
from torchmomentum.ops._library import define_recurrence
from torchmomentum.ops._steps import GATES, STEPS, State, scan_definition, steps_alive


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


def _torch_scan(
    mode: str, pre: Tensor, rest: Sequence[Tensor | None], lengths: Tensor | None
) -> State:
    """The kernels in plain PyTorch, on any device."""
    mask = None if lengths is None else steps_alive(pre.shape[0], lengths)
    missing = [None] * ((5 if mode == "LSTM" else 3) - len(rest))
    if mode == "LSTM":
        results: State = _lstm_scan(pre, *rest, *missing, mask)[:3]
    elif mode == "GRU":
        results = _gru_scan(pre, *rest, *missing, mask)[:2]
    else:
        results = _rnn_scan(pre, *rest, *missing, mask, mode == "RNN_RELU")
    return results


BACKENDS = ("reference", "torch", "cpu")


def scan(
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> State:
    """Runs a recurrence over pre-activations as one operator. See :func:`scan_definition`.

    Half-precision input is computed in float32 and returned in its own type.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None and, for an LSTM, ``weight_hr`` or None.
        lengths: How many steps of each sequence count, int64 ``(B,)``; the state stays as it is
            after them. None for all.
        backend: ``reference`` (the definition, followed by autograd), ``torch`` (PyTorch operations
            with the gradient written out) or ``cpu`` (compiled, float32 and shorter, without
            projection); None takes the fastest that serves.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.

    Raises:
        ValueError: An unknown ``mode`` or ``backend``, pre-activations whose width does not fit the
            state, or a backend that does not serve these tensors.
    """
    if mode not in STEPS:
        raise ValueError(f"mode must be one of {', '.join(STEPS)}, got {mode!r}")
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)} or None, got {backend!r}")
    weight_hh = weights[0]
    width = pre.shape[-1]
    if weight_hh is None or weight_hh.shape[0] != width or width % GATES[mode]:
        raise ValueError(
            f"{mode} needs a weight_hh of {width} rows for pre-activations {width} wide"
        )
    dtype = pre.dtype
    compute = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
    pre = pre.to(compute)
    states = tuple(x.to(compute) for x in state)
    used = [x if x is None else x.to(compute) for x in weights]
    weight_hh, bias_hh, weight_hr = (*used, None, None)[:3]
    layer = (None, weight_hh, None, bias_hh, weight_hr)
    if backend is None:
        backend = "cpu" if _cpu.serves(mode, pre, states, layer) else "torch"
    elif backend == "cpu" and not _cpu.serves(mode, pre, states, layer):
        raise ValueError(
            "backend 'cpu' serves float32 and shorter types on a CPU without projection, where its "
            f"kernels could be built; got {dtype} on {pre.device}"
        )
    if backend == "cpu":
        results = _cpu.layer(mode, pre, states, layer, lengths)
    elif backend == "torch":
        results = _torch_scan(mode, pre, (*states, *used), lengths)
    else:
        mask = None if lengths is None else steps_alive(pre.shape[0], lengths)
        results = scan_definition(mode, pre, states, used, mask)
    return tuple(x.to(dtype) for x in results)


def lstm_scan(
    pre: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""A long short-term memory over pre-activations.

    .. math::
        (i, f, g, o)_t = (\sigma, \sigma, \tanh, \sigma)(p_t + U h_{t-1} + b), \qquad
        c_t = f_t c_{t-1} + i_t g_t, \qquad h_t = o_t \tanh(c_t)

    Args:
        pre: What the input contributes, :math:`p`, ``(T, B, 4 H)``, gates in this order.
        h: :math:`h_0`, ``(B, H)``, or ``(B, P)`` with a projection.
        c: :math:`c_0`, ``(B, H)``.
        weight_hh: :math:`U`, ``(4 H, H)``, or ``(4 H, P)``.
        bias_hh: :math:`b`, ``(4 H,)``, or None.
        weight_hr: A projection of :math:`h`, ``(P, H)``, or None.
        lengths: See :func:`scan`.
        backend: See :func:`scan`.

    Returns:
        All :math:`h`, ``(T, B, H)``, and the last :math:`h` and :math:`c`.

    Example:
        >>> zero = torch.zeros(2, 3)
        >>> out, h, c = lstm_scan(torch.zeros(5, 2, 12), zero, zero, torch.zeros(12, 3))
        >>> out.shape
        torch.Size([5, 2, 3])
    """
    out, h, c = scan("LSTM", pre, (h, c), (weight_hh, bias_hh, weight_hr), lengths, backend)
    return out, h, c


def gru_scan(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """A gated recurrent unit over pre-activations ``(T, B, 3 H)``, with ``torch.nn.GRU``'s gates.

    Args and returns are those of :func:`lstm_scan`, without cells.
    """
    out, h = scan("GRU", pre, (h,), (weight_hh, bias_hh), lengths, backend)
    return out, h


def rnn_scan(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """An Elman network over pre-activations ``(T, B, H)``, with ``tanh`` or ``relu``.

    Args and returns are those of :func:`lstm_scan`, without cells.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
    mode = f"RNN_{nonlinearity.upper()}"
    out, h = scan(mode, pre, (h,), (weight_hh, bias_hh), lengths, backend)
    return out, h
