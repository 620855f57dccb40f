"""Runs a problem: whole layers, and recurrences over pre-activations ``(T, B, G H)``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum._checks import check_choice
from torchmomentum._tuples import changed
from torchmomentum.ops._choose import choose, compiled_step_serves_layer
from torchmomentum.ops._definition import named_weights
from torchmomentum.ops._modifiers import PLAIN, Modifiers
from torchmomentum.ops._precision import autocast
from torchmomentum.ops._problem import Problem, Velocity
from torchmomentum.ops.cells import Cell, State, find
from torchmomentum.ops.cpu.step import step
from torchmomentum.ops.filters.beside_one import filter_beside_one, joined, serves_beside_one


def run(problem: Problem, backend: str | None = None) -> State:
    """Runs one recurrent layer in one direction.

    Args:
        problem: The layer: cell, input, state, weights, and what changes the plain recurrence.
            Under autocast, input, state and weights are taken in its type.
        backend: See :func:`scan`.

    Returns:
        The outputs ``(T, B, H)``, the last state, and with ``moments`` the last velocity and root,
        with a ``velocity`` the last of it, these in float32 at least.

    Raises:
        ValueError: A shape that does not fit, an unknown backend, or one that does not serve this.
        TypeError: A tensor of a type that does not fit.

    Example:
        >>> from torchmomentum.ops.cells import LSTM
        >>> h = c = torch.zeros(2, 3)
        >>> weights = {"weight_hh": torch.zeros(12, 3), "weight_ih": torch.zeros(12, 7)}
        >>> out, h, c = run(Problem(LSTM, torch.zeros(5, 2, 7), (h, c), **weights))
        >>> out.shape
        torch.Size([5, 2, 3])
    """
    if problem.velocity is not None:
        _check_velocity(problem, problem.velocity)
    if backend is None and compiled_step_serves_layer(problem):
        weights = problem.weight_ih, problem.weight_hh, problem.bias_ih, problem.bias_hh
        rules = problem.moments, problem.velocity
        found = step(problem.cell, problem.x[0], problem.state, *weights, *rules)
        return found[0].unsqueeze(0), *found
    if problem.velocity is not None:
        return _run_filtered(problem, problem.velocity, backend)
    problem.check_devices()
    problem = autocast(problem)
    if problem.lengths is not None or not problem.modifiers.is_plain():
        problem = problem.exact()
    return choose(problem, backend).run(problem)


def _check_velocity(problem: Problem, velocity: Velocity) -> None:
    """Raises ValueError where the momentum of an input would not be computed as it is meant."""
    problem.affine_weights()
    if problem.lengths is not None or problem.moments is not None:
        raise ValueError("a velocity of the input goes neither with lengths nor with moments")
    x = problem.x
    if not serves_beside_one(x, *velocity):
        raise ValueError(
            "a velocity of the input is for float32 on a CPU where no gradient of x, velocity, mu "
            f"or gain is asked, got an x of {x.dtype} on {x.device} and requires_grad "
            f"{[isinstance(t, Tensor) and t.requires_grad for t in (x, *velocity)]}"
        )


def _run_filtered(problem: Problem, velocity: Velocity, backend: str | None) -> State:
    """A layer whose input goes through a constant momentum: in its kernels, or before them."""
    weight_ih, bias_ih = problem.affine_weights()
    bare = changed(problem, velocity=None)
    if problem.modifiers.is_plain() and not torch.is_autocast_enabled("cpu"):
        found = choose(bare, backend)
        if found.name == "cpu":
            return found.run(problem)
    x, last = filter_beside_one(problem.x, velocity)
    weights = {"weight_ih": joined(weight_ih, bias_ih), "bias_ih": torch.zeros_like(bias_ih)}
    return *run(changed(bare, x=x, **weights), backend), last


def scan(
    cell: Cell | str,
    pre: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    lengths: Tensor | None = None,
    modifiers: Modifiers = PLAIN,
    backend: str | None = None,
) -> State:
    """Runs a recurrence over pre-activations as one operator. See :func:`scan_definition`.

    Half-precision input has its states in float32, and its products where the backend has none in
    its type: the compiled kernels have bfloat16, Triton's both. It is returned in its own type.

    Args:
        cell: The cell, or the name of a registered one: ``LSTM``, ``GRU``, ``RNN_TANH``,
            ``RNN_RELU``, ``RNN_MODRELU``.
        pre: Pre-activations, ``(T, B, G H)``.
        state: ``(h, c)`` for an LSTM, ``(h,)`` otherwise, each ``(B, H)``.
        weights: ``weight_hh``, ``bias_hh`` or None, and the cell's extra weights in its order: an
            LSTM's ``weight_hr`` or None, modReLU's bias.
        lengths: How many steps of each sequence count, int64 ``(B,)``; the state stays as it is
            after them. None for all.
        modifiers: What changes the plain recurrence.
        backend: ``loop`` (the definition, step by step under autograd), ``definition`` (the
            definition as an operator, made again in the backward), ``eager`` (PyTorch operations
            with the gradient written out), ``aten`` (PyTorch's own layers), ``cpu`` (compiled) or
            ``triton``; None takes the first of ``CHOICES`` that serves.

    Returns:
        The outputs ``(T, B, H)``, and after them the last state.

    Raises:
        ValueError: An unknown cell or backend, pre-activations whose width does not fit the state,
            or a backend that does not serve these tensors.
    """
    cell = find(cell) if isinstance(cell, str) else cell
    weight_hh, bias_hh, extra = named_weights(cell, weights)
    width = pre.shape[-1]
    if weight_hh.shape[0] != width or width % cell.gates:
        raise ValueError(
            f"{cell.name} needs a weight_hh of {width} rows for pre-activations {width} wide, "
            f"got {weight_hh.shape[0]}"
        )
    if (modifiers.steps is None) != (modifiers.previous is None):
        raise ValueError("a lookahead needs both steps and previous, got one of them")
    problem = Problem(
        *(cell, pre, tuple(state), weight_hh),
        bias_hh=bias_hh,
        extra=extra,
        lengths=lengths,
        modifiers=modifiers,
    )
    problem.check_devices()
    problem = problem.to(pre.dtype).exact()
    problem.check()
    return choose(problem, backend).run(problem)


def lstm_scan(
    pre: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    modifiers: Modifiers = PLAIN,
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
        modifiers: Lookahead, recurrent dropout, zoneout, normalization: see :class:`Modifiers`.
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
    out, h, c = scan("LSTM", pre, (h, c), weights, lengths, modifiers, backend)
    return out, h, c


def gru_scan(
    pre: Tensor,
    h: Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    modifiers: Modifiers = PLAIN,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """A gated recurrent unit over pre-activations ``(T, B, 3 H)``, with ``torch.nn.GRU``'s gates.

    Args and returns are those of :func:`lstm_scan`, without cells.
    """
    out, h = scan("GRU", pre, (h,), (weight_hh, bias_hh), lengths, modifiers, backend)
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
    modifiers: Modifiers = PLAIN,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """An Elman network over pre-activations ``(T, B, H)``.

    Args and returns are those of :func:`lstm_scan`, without cells, and ``nonlinearity`` is
    ``"tanh"``, ``"relu"`` or ``"modrelu"``, which takes ``bias_modrelu``, ``(H,)``: see
    :func:`modrelu`.
    """
    check_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    if (bias_modrelu is not None) != (nonlinearity == "modrelu"):
        raise ValueError("bias_modrelu belongs to the nonlinearity 'modrelu' and only to it")
    weights = (weight_hh, bias_hh, *(() if bias_modrelu is None else (bias_modrelu,)))
    cell = f"RNN_{nonlinearity.upper()}"
    out, h = scan(cell, pre, (h,), weights, lengths, modifiers, backend)
    return out, h
