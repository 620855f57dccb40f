"""PyTorch's own recurrent kernels: oneDNN's LSTM as an operator, ATen's and cuDNN's for the rest.

``torch.nn``'s modules cannot be captured in one graph by ``torch.compile`` nor exported with a
dynamic length; operators of our own over the same kernels can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from torchmomentum._torch_private import (
    may_need_gradients,
    onednn_has_bfloat16,
    onednn_lstm,
    onednn_lstm_backward,
    transformed,
)
from torchmomentum._tuples import changed
from torchmomentum.ops._definition import scan_definition
from torchmomentum.ops._problem import Problem
from torchmomentum.ops._recurrence import define_recurrence
from torchmomentum.ops.backends._backend import Backend
from torchmomentum.ops.cells import State

_ATEN_LSTM = 2  # ATen's number for this kind of recurrence
PERSISTENT_UNITS = 128  # cuDNN's persistent kernels of half precision take a multiple of so many
_MOST_UNITS, _ROWS, _MOST_ROWS = 1024, 8, 128  # and these
# asked once: torch.compile cannot trace the questions
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and onednn_lstm is not None
_HAS_ONEDNN_BF16 = _HAS_ONEDNN and onednn_has_bfloat16()


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
    pre = linear(x, weight_ih, bias_ih)
    return scan_definition("LSTM", pre, (h, c), (weight_hh, bias_hh))


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
        out, h_n, c_n, workspace = onednn_lstm(
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
    if not constants[0]:  # captured without gradients, and trained all the same
        again: list[Any] = [x, h, c, *weights, True]
        results = _onednn_forward(*again)
    out, h_n, c_n, workspace = results
    pulled = [g if g is None else g.contiguous() for g in grads]
    grad_x, grad_ih, grad_hh, grad_bias, grad_bias_again, grad_h, grad_c = onednn_lstm_backward(
        *(x, *weights, h, c, out, h_n, c_n, *pulled),
        *(False, _ATEN_LSTM, h.shape[-1], 1, True, True, False, [], False, workspace),
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


def _on_onednn(problem: Problem) -> bool:
    """Whether PyTorch would run this layer on oneDNN: an LSTM on a CPU, without projection."""
    x = problem.x
    if problem.cell.key != "LSTM" or x.device.type != "cpu" or problem.is_projected():
        return False
    if problem.batch_sizes is not None:
        return False
    if not torch.compiler.is_compiling() and (x.numel() == 0 or not torch.backends.mkldnn.enabled):
        return False
    if x.dtype == torch.bfloat16:
        return _HAS_ONEDNN_BF16
    return _HAS_ONEDNN and x.dtype == torch.float32


def _run_onednn(problem: Problem, weight_ih: Tensor) -> State:
    weight_hh, bias_ih, bias_hh = problem.weight_hh, problem.bias_ih, problem.bias_hh
    if bias_ih is None or bias_hh is None:
        bias_ih = bias_hh = weight_hh.new_zeros(weight_hh.shape[0])
    tensors = (problem.x, *problem.state, weight_ih, weight_hh, bias_ih, bias_hh)
    train = may_need_gradients() and any([t.requires_grad for t in tensors])
    results: State = _onednn_lstm(*tensors, train)[:3]
    return results


# --- PyTorch's functions, whichever kernels they choose -----------------------------------------

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def _flat_weights(problem: Problem) -> tuple[list[Tensor], bool]:
    """The weights in the order in which PyTorch's functions take them, and whether with biases."""
    if problem.x.is_cuda:
        return _in_one_chunk(problem), True
    four = [problem.weight_ih, problem.weight_hh, problem.bias_ih, problem.bias_hh]
    flat = [w for w in (*four, *problem.extra.values()) if w is not None]
    return flat, problem.bias_ih is not None


def _in_one_chunk(problem: Problem) -> list[Tensor]:
    """The same as cuDNN reads them: one chunk of memory, matrices first, with room for biases.

    PyTorch would make the chunk at every call, with a warning.
    """
    biases = [problem.bias_ih, problem.bias_hh]
    if problem.bias_ih is None:
        biases = [problem.weight_hh.new_zeros(problem.weight_hh.shape[0])] * 2
    given = [problem.weight_ih, problem.weight_hh, *problem.extra.values(), *biases]
    parts = [part for part in given if part is not None]
    chunk = torch.cat([p.flatten() for p in parts]).split([p.numel() for p in parts])
    ih, hh, *extra, bias_ih, bias_hh = [c.view_as(p) for c, p in zip(chunk, parts, strict=True)]
    return [ih, hh, bias_ih, bias_hh, *extra]


def _hx(problem: Problem) -> Any:
    """The state as ``torch.lstm`` and its siblings take it, with a dimension for the layers."""
    state = [s.contiguous().unsqueeze(0) for s in problem.state]
    return state[0] if len(state) == 1 else tuple(state)


def pads(problem: Problem) -> bool:
    """Whether cuDNN runs an LSTM on its persistent kernels once its input is padded.

    That is what PyTorch asks of it: half precision, one layer and direction, no projection, a
    multiple of 128 units up to 1,024, batches up to 128.
    """
    x, hidden = problem.x, problem.state[0].shape[-1]
    return (
        problem.cell.key == "LSTM"
        and x.device.type == "cuda"
        and x.dtype == torch.float16
        and not problem.is_projected()
        and hidden % PERSISTENT_UNITS == 0
        and hidden <= _MOST_UNITS
        and -(-x.shape[1] // _ROWS) * _ROWS <= _MOST_ROWS
        and bool(x.shape[1] % _ROWS or x.shape[2] % PERSISTENT_UNITS)
    )


def padded(problem: Problem, run: Callable[[Problem], State]) -> State:
    """Runs a layer on input of a multiple of 128 features and 8 rows, zeros added; exact.

    Args:
        problem: The layer.
        run: Runs the layer of the greater size.
    """
    x, weight_ih = problem.x, problem.weight_ih
    if weight_ih is None:
        raise TypeError("weight_ih must be a tensor")
    rows, features = -x.shape[1] % _ROWS, -x.shape[2] % PERSISTENT_UNITS
    greater = problem._replace(
        x=pad(x, (0, features, 0, rows)),
        state=tuple([pad(s, (0, 0, 0, rows)) for s in problem.state]),
        weight_ih=pad(weight_ih, (0, features)),
    )
    out, *last = run(greater)
    if not rows:
        return out, *last
    return out[:, :-rows], *[s[:-rows] for s in last]


def _run_function(problem: Problem) -> State:
    if pads(problem):
        return padded(problem, _run_function)
    function, train = _FUNCTIONS[problem.cell.key], may_need_gradients()
    flat, biases = _flat_weights(problem)
    out, *last = function(problem.x, _hx(problem), flat, biases, 1, 0.0, train, False, False)
    return out, *[s.squeeze(0) for s in last]


def _run_packed(problem: Problem, batch_sizes: Tensor) -> State:
    """One layer over packed input, given in its padded form."""
    x, train = problem.x, may_need_gradients()
    rows = torch.arange(x.shape[1], device=x.device)
    alive = rows < batch_sizes.to(x.device).unsqueeze(1)  # (T, B)
    function, (flat, biases) = _FUNCTIONS[problem.cell.key], _flat_weights(problem)
    data, *last = function(x[alive], batch_sizes, _hx(problem), flat, biases, 1, 0.0, train, False)
    out = data.new_zeros(*alive.shape, data.shape[-1]).masked_scatter(alive.unsqueeze(-1), data)
    return out, *[s.squeeze(0) for s in last]


# --- the backend --------------------------------------------------------------------------------


def _refusal(problem: Problem) -> str:
    if problem.cell.key not in _FUNCTIONS:
        return "PyTorch has no such cell"
    if not problem.modifiers.is_plain() or problem.moments is not None:
        return "PyTorch's layers have no modifiers and no rule"
    if problem.lengths is not None and problem.batch_sizes is None:
        return "PyTorch's layers take lengths only of packed input"
    lacks_one = (problem.bias_ih is None) != (problem.bias_hh is None)
    if lacks_one and (problem.weight_ih is not None or problem.bias_ih is not None):
        return "PyTorch's layers have both biases or neither"
    # PyTorch's functions would be unrolled over time in a graph, and know no transforms
    if (torch.compiler.is_compiling() or transformed()) and not _on_onednn(problem):
        return "PyTorch's functions can be neither captured nor transformed"
    return ""


def _run(problem: Problem) -> State:
    x, bias_hh, weight_ih = problem.x, problem.bias_hh, problem.weight_ih
    if weight_ih is None:
        # there is no such function: weights that change nothing make of the input pre-activations
        weight_ih = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        bias_ih = problem.bias_ih
        if bias_ih is None and bias_hh is not None:
            bias_ih = torch.zeros_like(bias_hh)
        problem = changed(problem, weight_ih=weight_ih, bias_ih=bias_ih)
    if _on_onednn(problem):
        return _run_onednn(problem, weight_ih)
    if problem.batch_sizes is not None:
        return _run_packed(problem, problem.batch_sizes)
    return _run_function(problem)


ATEN = Backend(
    "aten",
    "LSTM, GRU and RNN without modifiers and rule, lengths only of packed input; in graphs and "
    "transforms an LSTM on oneDNN alone",
    _refusal,
    _run,
)
