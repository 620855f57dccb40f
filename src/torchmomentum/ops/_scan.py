"""The recurrences over pre-activations ``(T, B, G H)``: what every rule can run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchmomentum.ops import _cpu, _native, _torch_scan, _triton
from torchmomentum.ops._arguments import Arguments, definition
from torchmomentum.ops._options import NOTHING, Options
from torchmomentum.ops._steps import GATES, STEPS, State


def _in_float32(run: Callable[[Arguments], State]) -> Callable[[Arguments], State]:
    """Computes half precision in float32 and returns it in its own type."""

    def wide(given: Arguments) -> State:
        dtype = given.pre.dtype
        if dtype in _cpu.HALF:
            return tuple(x.to(dtype) for x in run(given.to(torch.float32)))
        return run(given)

    return wide


def _cpu_layer(given: Arguments) -> tuple[Tensor | None, ...]:
    return None, given.weight_hh, None, given.bias_hh, given.third


def _cpu_serves(given: Arguments) -> bool:
    return _cpu.serves(given.mode, given.pre, given.state, _cpu_layer(given), given.options)


def _on_cpu(given: Arguments) -> State:
    layer = _cpu_layer(given)
    return _cpu.layer(
        *(given.mode, given.pre, given.state, layer, given.lengths), options=given.options
    )


def _native_serves(given: Arguments) -> bool:
    return given.mode != "RNN_MODRELU" and given.options.plain and given.lengths is None


def _on_native(given: Arguments) -> State:
    # there is no such mode: weights that change nothing make the input the pre-activations
    width, bias_hh = given.pre.shape[-1], given.bias_hh
    same = torch.eye(width, dtype=given.pre.dtype, device=given.pre.device)
    bias_ih = None if bias_hh is None else torch.zeros_like(bias_hh)
    weights = same, given.weight_hh, bias_ih, bias_hh, given.third
    return _native.native(given.mode, given.pre, given.state, weights)


class Backend(NamedTuple):
    """One way to run a recurrence."""

    serves: Callable[[Arguments], bool]
    run: Callable[[Arguments], State]
    what: str  # what it serves, for a message


def _always(given: Arguments) -> bool:
    return True


BACKENDS: dict[str, Backend] = {
    "reference": Backend(_always, _in_float32(lambda x: definition(*x.flat())), "everything"),
    "torch": Backend(_always, _in_float32(_torch_scan.scan), "everything"),
    "native": Backend(
        _native_serves, _on_native, "LSTM, GRU, tanh and ReLU without lengths and options"
    ),
    "cpu": Backend(
        _cpu_serves,
        _on_cpu,
        "float32 and shorter types on a CPU, without projection and normalization, where its "
        "kernels could be built",
    ),
    "triton": Backend(
        _triton.serves,
        _triton.scan,
        "float32, bfloat16 and float16 on CUDA, without projection and normalization, where "
        "Triton is installed",
    ),
}


def _fastest(given: Arguments) -> Backend:
    """The backend for these tensors, by device and type."""
    if given.pre.device.type == "cuda" and _triton.serves(given):
        return BACKENDS["triton"]
    if given.pre.device.type == "cpu" and _cpu_serves(given):
        return BACKENDS["cpu"]
    return BACKENDS["torch"]


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

    Half-precision input has its states in float32, and its products where the backend has none in
    its type: the compiled kernels have bfloat16, Triton's both. It is returned in its own type.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH``, ``RNN_RELU`` or ``RNN_MODRELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None and, for an LSTM, ``weight_hr`` or None; for
            modReLU its bias.
        lengths: How many steps of each sequence count, int64 ``(B,)``; the state stays as it is
            after them. None for all.
        backend: ``reference`` (the definition, followed by autograd), ``torch`` (PyTorch operations
            with the gradient written out, or with options made again), ``native`` (PyTorch's own
            layers), ``cpu`` (compiled) or ``triton``; None takes the fastest that serves.
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
    weight_hh, bias_hh, third = (*weights, None, None)[:3]
    width = pre.shape[-1]
    if weight_hh is None or weight_hh.shape[0] != width or width % GATES[mode]:
        raise ValueError(
            f"{mode} needs a weight_hh of {width} rows for pre-activations {width} wide"
        )
    if (options.steps is None) != (options.previous is None):
        raise ValueError("a lookahead needs both steps and previous, got one of them")
    lengths = None if lengths is None else lengths.long()
    options = options.exact()
    given = Arguments(
        pre, tuple(state), weight_hh, bias_hh, third, lengths, options, mode, train=False
    ).to(pre.dtype)
    given.check()
    chosen = _fastest(given) if backend is None else BACKENDS[backend]
    if backend is not None and not chosen.serves(given):
        raise ValueError(
            f"backend {backend!r} serves {chosen.what}; got {mode} of {pre.dtype} on {pre.device}"
        )
    return chosen.run(given)


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
