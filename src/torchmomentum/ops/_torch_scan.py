"""The recurrences in PyTorch operations with their gradients written out, on any device."""

from __future__ import annotations

from torch import Tensor

from torchmomentum.ops import _gru_kernel, _lstm_kernel, _rnn_kernel
from torchmomentum.ops._arguments import Arguments
from torchmomentum.ops._definition_kernel import scan_recomputed
from torchmomentum.ops._library import define_recurrence
from torchmomentum.ops._steps import State, scan_definition, steps_alive


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


def scan(given: Arguments) -> State:
    """A recurrence over pre-activations; with options, the definition and its recomputation."""
    mode, options = given.mode, given.options
    if mode == "RNN_MODRELU" or not options.plain:
        return scan_recomputed(given)
    mask = None if given.lengths is None else steps_alive(len(given.pre), given.lengths)
    weights = given.weight_hh, given.bias_hh
    if mode == "LSTM":
        results: State = _lstm_scan(given.pre, *given.state, *weights, given.third, mask)[:3]
    elif mode == "GRU":
        results = _gru_scan(given.pre, *given.state, *weights, mask)[:2]
    else:
        results = _rnn_scan(given.pre, *given.state, *weights, mask, mode == "RNN_RELU")
    return results
