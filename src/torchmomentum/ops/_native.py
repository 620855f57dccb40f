"""PyTorch's own recurrent kernels: oneDNN's LSTM as an operator, ATen's and cuDNN's for the rest.

``torch.nn``'s modules cannot be captured in one graph by ``torch.compile`` nor exported with a
dynamic length; operators of our own over the same kernels can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from torchmomentum.ops._library import define_recurrence
from torchmomentum.ops._steps import State, scan_definition

_aten = torch.ops.aten
_ATEN_LSTM = 2  # ATen's number for this kind of recurrence
_UNITS, _MOST_UNITS, _ROWS, _MOST_ROWS = 128, 1024, 8, 128  # what cuDNN's persistent kernels take
# asked once: torch.compile cannot trace the questions
_HAS_ONEDNN = torch.backends.mkldnn.is_available()
_HAS_ONEDNN_BF16 = _HAS_ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


# --- oneDNN's LSTM ------------------------------------------------------------------------------


def onednn_serves(mode: str, x: Tensor, weights: Sequence[Tensor | None]) -> bool:
    """Whether PyTorch would run this very layer on oneDNN: an LSTM on a CPU, without projection."""
    if mode != "LSTM" or x.device.type != "cpu" or weights[-1] is not None:
        return False
    if not torch.compiler.is_compiling() and (x.numel() == 0 or not torch.backends.mkldnn.enabled):
        return False
    if x.dtype == torch.bfloat16:
        return _HAS_ONEDNN_BF16
    return _HAS_ONEDNN and x.dtype == torch.float32


def _onednn_definition(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    train: bool,
) -> State:
    return scan_definition(
        "LSTM", linear(x, weight_ih, bias_ih), (h, c), (weight_hh, bias_hh, None)
    )


def _onednn_forward(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    train: bool,
) -> tuple[Tensor, ...]:
    # what has strides of its own would be read as if it had none
    x, h, c, weight_ih, weight_hh, bias_ih, bias_hh = (
        t.contiguous() for t in (x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    )
    # the kernel hands out the workspace that its backward needs only where gradients are enabled
    with torch.set_grad_enabled(train):
        out, h_n, c_n, workspace = _aten.mkldnn_rnn_layer.default(
            *(x, weight_ih, weight_hh, bias_ih, bias_hh, h, c),
            *(False, [], _ATEN_LSTM, h.shape[-1], 1, True, False, False, train),
        )
    return out, h_n.clone(), c_n, workspace  # h_n is a view of out


def _onednn_backward(
    tensors: Sequence[Tensor | None],
    results: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    constants: Sequence[object],
) -> list[Tensor]:
    x, h, c, *weights = (t if t is None else t.contiguous() for t in tensors)
    if h is None:
        raise TypeError("the state must be a tensor")
    out, h_n, c_n, workspace = results
    pulled = [g if g is None else g.contiguous() for g in grads]
    grad_x, grad_ih, grad_hh, grad_bias, grad_bias_again, grad_h, grad_c = (
        _aten.mkldnn_rnn_layer_backward.default(
            *(x, *weights, h, c, out, h_n, c_n, *pulled),
            *(False, _ATEN_LSTM, h.shape[-1], 1, True, True, False, [], False, workspace),
        )
    )
    # both biases get the one gradient, which must not be shared memory
    return [grad_x, grad_h, grad_c, grad_ih, grad_hh, grad_bias, grad_bias_again.clone()]


def _onednn_fake(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    train: bool,
) -> tuple[Tensor, ...]:
    out = x.new_empty(x.shape[0], x.shape[1], h.shape[-1])
    workspace = x.new_empty(0, dtype=torch.uint8)  # as ATen's own kernel for shapes has it
    return out, torch.empty_like(h), torch.empty_like(c), workspace


_onednn_lstm = define_recurrence(
    "onednn_lstm",
    arguments="Tensor x, Tensor h, Tensor c, Tensor weight_ih, Tensor weight_hh, "
    "Tensor bias_ih, Tensor bias_hh",
    constants="bool train",
    outputs=3,
    needs_states=True,
    saved=1,
    definition=_onednn_definition,
    forward=_onednn_forward,
    backward=_onednn_backward,
    fake=_onednn_fake,
)


# --- PyTorch's functions, whichever kernels they choose -----------------------------------------


def _torch_function(mode: str) -> Callable[..., Any]:
    functions: dict[str, Callable[..., Any]] = {
        "LSTM": torch.lstm,
        "GRU": torch.gru,
        "RNN_TANH": torch.rnn_tanh,
        "RNN_RELU": torch.rnn_relu,
    }
    return functions[mode]


def _hx(mode: str, state: State) -> Any:
    """The state as ``torch.lstm`` and its siblings take it, with a dimension for the layers."""
    return tuple(s.unsqueeze(0) for s in state) if mode == "LSTM" else state[0].unsqueeze(0)


def pads(x: Tensor, state: State, weights: Sequence[Tensor | None]) -> bool:
    """Whether cuDNN runs an LSTM on its persistent kernels once its input is padded.

    That is what PyTorch asks of it: half precision, one layer and direction, no projection, a
    multiple of 128 units up to 1,024, batches up to 128.
    """
    hidden, batch = state[0].shape[-1], x.shape[1]
    return (
        x.device.type == "cuda"
        and x.dtype == torch.float16
        and weights[-1] is None
        and hidden % _UNITS == 0
        and hidden <= _MOST_UNITS
        and -(-batch // _ROWS) * _ROWS <= _MOST_ROWS
        and bool(batch % _ROWS or x.shape[2] % _UNITS)
    )


def padded(x: Tensor, state: State, weights: Sequence[Tensor | None], run: Any) -> State:
    """Runs a layer on input of a multiple of 128 features and 8 rows, zeros added; exact.

    Args:
        x: ``(T, B, I)``.
        state: Each ``(B, H)``.
        weights: As for :func:`native`.
        run: Takes input, state and weights of the greater size.
    """
    weight_ih, *others = weights
    if weight_ih is None:
        raise TypeError("weight_ih must be a tensor")
    rows, features = -x.shape[1] % _ROWS, -x.shape[2] % _UNITS
    out, *last = run(
        pad(x, (0, features, 0, rows)),
        tuple(pad(s, (0, 0, 0, rows)) for s in state),
        (pad(weight_ih, (0, features)), *others),
    )
    if not rows:
        return out, *last
    return out[:, :-rows], *(s[:-rows] for s in last)


def _torch_layer(mode: str, x: Tensor, state: State, weights: Sequence[Tensor | None]) -> State:
    if mode == "LSTM" and pads(x, state, weights):
        return padded(x, state, weights, partial(_torch_layer, mode))
    flat, has_biases = [w for w in weights if w is not None], weights[2] is not None
    train = torch.is_grad_enabled()
    out, *last = _torch_function(mode)(
        x, _hx(mode, state), flat, has_biases, 1, 0.0, train, False, False
    )
    return out, *(s.squeeze(0) for s in last)


def native_packed(
    mode: str, data: Tensor, batch_sizes: Tensor, state: State, weights: Sequence[Tensor | None]
) -> State:
    """One layer over packed input. See :func:`native`.

    Args:
        mode: As for :func:`native`.
        data: The packed input, ``(sum of lengths, I)``.
        batch_sizes: How many sequences are alive at each step, as in ``PackedSequence``.
        state: As for :func:`native`, ordered as the sequences are.
        weights: As for :func:`native`.

    Returns:
        The packed outputs, and each sequence's last state.
    """
    flat, has_biases = [w for w in weights if w is not None], weights[2] is not None
    train = torch.is_grad_enabled()
    out, *last = _torch_function(mode)(
        data, batch_sizes, _hx(mode, state), flat, has_biases, 1, 0.0, train, False
    )
    return out, *(s.squeeze(0) for s in last)


def native(mode: str, x: Tensor, state: State, weights: Sequence[Tensor | None]) -> State:
    """One recurrent layer, one direction, on the kernels that PyTorch itself would use.

    But for oneDNN's LSTM they cannot be captured in one graph, and know no transforms.

    Args:
        mode: ``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``.
        x: The input, ``(T, B, I)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` (both or neither None),
            ``weight_hr`` or None.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.
    """
    weight_ih, weight_hh, bias_ih, bias_hh, _ = weights
    if weight_ih is None or weight_hh is None:
        raise TypeError("weight_ih and weight_hh must be tensors")
    if not onednn_serves(mode, x, weights):
        return _torch_layer(mode, x, state, weights)
    if bias_ih is None or bias_hh is None:
        bias_ih = bias_hh = weight_hh.new_zeros(weight_hh.shape[0])
    tensors = (x, *state, weight_ih, weight_hh, bias_ih, bias_hh)
    train = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    results: State = _onednn_lstm(*tensors, train)[:3]
    return results
