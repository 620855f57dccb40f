"""The recurrences over pre-activations ``(T, B, G H)``: what every rule can run on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops import _cpu, _gru_kernel, _lstm_kernel, _rnn_kernel
from torchmomentum.ops._definition_kernel import scan_recomputed
from torchmomentum.ops._library import define_recurrence
from torchmomentum.ops._options import NOTHING, Options
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
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None,
    options: Options,
) -> State:
    """The kernels in plain PyTorch, on any device."""
    mask = None if lengths is None else steps_alive(pre.shape[0], lengths)
    if mode == "RNN_MODRELU" or not options.plain:
        return scan_recomputed(mode, pre, state, weights, mask, options)
    missing = [None] * ((3 if mode == "LSTM" else 2) - len(weights))
    if mode == "LSTM":
        results: State = _lstm_scan(pre, *state, *weights, *missing, mask)[:3]
    elif mode == "GRU":
        results = _gru_scan(pre, *state, *weights, *missing, mask)[:2]
    else:
        results = _rnn_scan(pre, *state, *weights, *missing, mask, mode == "RNN_RELU")
    return results


BACKENDS = ("reference", "torch", "cpu")


def scan(
    mode: str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None = None,
    backend: str | None = None,
    options: Options = NOTHING,
) -> State:
    """Runs a recurrence over pre-activations as one operator. See :func:`scan_definition`.

    Half-precision input is computed in float32 and returned in its own type.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH``, ``RNN_RELU`` or ``RNN_MODRELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None and, for an LSTM, ``weight_hr`` or None; for
            modReLU its bias.
        lengths: How many steps of each sequence count, int64 ``(B,)``; the state stays as it is
            after them. None for all.
        backend: ``reference`` (the definition, followed by autograd), ``torch`` (PyTorch operations
            with the gradient written out, or with options made again) or ``cpu`` (compiled, float32
            and shorter, without projection and normalization); None takes the fastest that serves.
        options: What happens besides.

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
    if (options.steps is None) != (options.previous is None):
        raise ValueError("a lookahead needs both steps and previous, got one of them")
    dtype = pre.dtype
    compute = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
    pre = pre.to(compute)
    states = tuple(x.to(compute) for x in state)
    used = [x if x is None else x.to(compute) for x in weights]
    options = options.to(compute)
    weight_hh, bias_hh, third = (*used, None, None)[:3]
    layer = (None, weight_hh, None, bias_hh, third)
    if backend is None:
        backend = "cpu" if _cpu.serves(mode, pre, states, layer, options) else "torch"
    elif backend == "cpu" and not _cpu.serves(mode, pre, states, layer, options):
        raise ValueError(
            "backend 'cpu' serves float32 and shorter types on a CPU, without projection and "
            f"normalization, where its kernels could be built; got {dtype} on {pre.device}"
        )
    if backend == "cpu":
        results = _cpu.layer(mode, pre, states, layer, lengths, options=options)
    elif backend == "torch":
        results = _torch_scan(mode, pre, states, used, lengths, options)
    else:
        mask = None if lengths is None else steps_alive(pre.shape[0], lengths)
        results = scan_definition(mode, pre, states, used, mask, options)
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
    options: Options = NOTHING,
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
        options: Lookahead, recurrent dropout, zoneout, normalization: see :class:`Options`.
        backend: See :func:`scan`.

    Returns:
        All :math:`h`, ``(T, B, H)``, and the last :math:`h` and :math:`c`.

    Example:
        >>> zero = torch.zeros(2, 3)
        >>> out, h, c = lstm_scan(torch.zeros(5, 2, 12), zero, zero, torch.zeros(12, 3))
        >>> out.shape
        torch.Size([5, 2, 3])
    """
    weights = (weight_hh, bias_hh, weight_hr)
    out, h, c = scan("LSTM", pre, (h, c), weights, lengths, backend, options)
    return out, h, c


def gru_scan(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    options: Options = NOTHING,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """A gated recurrent unit over pre-activations ``(T, B, 3 H)``, with ``torch.nn.GRU``'s gates.

    Args and returns are those of :func:`lstm_scan`, without cells.
    """
    out, h = scan("GRU", pre, (h,), (weight_hh, bias_hh), lengths, backend, options)
    return out, h


NONLINEARITIES = ("tanh", "relu", "modrelu")


def rnn_scan(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    bias_modrelu: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
    lengths: Tensor | None = None,
    options: Options = NOTHING,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """An Elman network over pre-activations ``(T, B, H)``.

    Args and returns are those of :func:`lstm_scan`, without cells, and ``nonlinearity`` is
    ``"tanh"``, ``"relu"`` or ``"modrelu"``, which takes ``bias_modrelu``, ``(H,)``: see
    :func:`modrelu`.
    """
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"nonlinearity must be one of {', '.join(NONLINEARITIES)}, got {nonlinearity!r}"
        )
    if (bias_modrelu is not None) != (nonlinearity == "modrelu"):
        raise ValueError("bias_modrelu belongs to the nonlinearity 'modrelu' and only to it")
    weights = (weight_hh, bias_hh, *(() if bias_modrelu is None else (bias_modrelu,)))
    mode = f"RNN_{nonlinearity.upper()}"
    out, h = scan(mode, pre, (h,), weights, lengths, backend, options)
    return out, h
