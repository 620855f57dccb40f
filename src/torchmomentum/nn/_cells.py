"""One-step cells with explicit state, in the form of the listing in the paper's Appendix F."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from torchmomentum.nn._rules import AdamState, NesterovLookahead, Rule, RuleState
from torchmomentum.ops import PLAIN, compiled_step, compiled_step_serves
from torchmomentum.ops.cells import Weights, find


class _Cell(nn.RNNCellBase):
    """A step of a rule in gate space, then a step of a recurrence."""

    _kind: str

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule,
    ) -> None:
        if not isinstance(momentum, Rule):
            raise TypeError(f"momentum must be a rule, got {type(momentum).__name__}")
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        super().__init__(input_size, hidden_size, bias, find(mode).gates, device, dtype)
        self.cell = find(mode)
        self.momentum = momentum.to(device=self.weight_ih.device)

    def reset_parameters(self) -> None:
        """Draws weights and biases as ``torch.nn`` does; sets learned hyperparameters back."""
        bound = self.hidden_size**-0.5
        for weight in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh):
            if weight is not None:
                nn.init.uniform_(weight, -bound, bound)
        if getattr(self, "momentum", None) is not None:
            self.momentum.reset_parameters()

    def _memory(self, v: Tensor | RuleState | None, batch: int, like: Tensor) -> RuleState:
        width = self.weight_ih.shape[0]
        if isinstance(self.momentum, NesterovLookahead):
            width += self.hidden_size
        if v is None:
            dtype = torch.promote_types(like.dtype, torch.float32)
            return self.momentum.initial_state(batch, width, device=like.device, dtype=dtype)
        memory: RuleState = (v,) if isinstance(v, Tensor) else v
        self.momentum.check_state(memory, batch, width, "v")
        return memory

    def _check(self, input: Tensor, state: tuple[Tensor, ...]) -> None:
        if input.dim() != 2:
            raise ValueError(f"{self._kind}: Expected input to be 2D, got {input.dim()}D instead")
        if input.shape[1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {input.shape[1]}"
            )
        expected = (input.shape[0], self.hidden_size)
        for value in state:
            if tuple(value.shape) != expected:
                raise RuntimeError(f"Expected hidden size {expected}, got {list(value.shape)}")

    def _states(self, hidden: Any, input: Tensor) -> tuple[Tensor, ...]:
        if hidden is None:
            return (input.new_zeros(input.shape[0], self.hidden_size),)
        if not isinstance(hidden, Tensor):
            raise TypeError(f"{self._kind}: hidden must be a tensor, got {type(hidden).__name__}")
        return (hidden,)

    def _hidden(self, state: tuple[Tensor, ...]) -> Any:
        return state[0]

    def _compiled_step(
        self, drive: Tensor, state: tuple[Tensor, ...], memory: RuleState
    ) -> tuple[tuple[Tensor, ...], RuleState]:
        weights, moments = (self.weight_hh, self.bias_hh), self.momentum.moments(memory)
        if moments is not None:
            *new, velocity, rms = compiled_step(self.cell, drive, state, *weights, moments)
            return tuple(new), AdamState(velocity, rms)
        pre, memory = self.momentum.step(drive, memory)
        pre = pre.to(drive.dtype, copy=True)  # the kernel writes to it, and it may be the memory's
        return compiled_step(self.cell, pre, state, *weights), memory

    def forward(self, input: Tensor, hidden: Any = None, v: Any = None) -> tuple[Tensor, Any, Any]:
        """One step.

        Args:
            input: ``(B, I)``.
            hidden: ``(h, c)`` for an LSTM, ``h`` otherwise, each ``(B, H)``; zeros where None.
            v: The momentum state in gate space, ``(B, G H)``: a tensor for the rule ``Momentum``,
                the rule's named tuple for the others; the rule's initial state where None.

        Returns:
            The new ``h``, the new ``hidden``, and the new ``v``.

        Raises:
            ValueError: Input that is not two-dimensional.
            RuntimeError: Input or state of another size than expected.
        """
        state = self._states(hidden, input)
        self._check(input, state)
        memory = self._memory(v, input.shape[0], input)
        drive, rule, hidden = linear(input, self.weight_ih, self.bias_ih), self.momentum, state[0]
        weights = self.weight_hh, self.bias_hh
        if not isinstance(rule, NesterovLookahead) and compiled_step_serves(
            self.cell, (drive, *state, *(t for t in memory if t.is_floating_point()), *weights)
        ):
            new, memory = self._compiled_step(drive, state, memory)
            return new[0], self._hidden(new), memory[0] if len(memory) == 1 else memory
        operand = hidden
        if isinstance(rule, NesterovLookahead):
            held, options = rule.separate(memory, drive.shape[1])
            wide = memory[0].dtype
            mu = options.momenta(1, wide)
            ahead = options.operand(
                hidden.to(wide), options.previous, None if mu is None else mu[0]
            )
            operand = ahead.to(drive.dtype)
            pre, held = rule.step(drive, held)
            memory = rule.join(held, hidden)
        else:
            pre, memory = rule.step(drive, memory)
        state = self.cell.step(pre.to(drive.dtype), state, Weights(*weights), operand, PLAIN)
        return state[0], self._hidden(state), memory[0] if len(memory) == 1 else memory


class RNNCell(_Cell):
    r"""One step of an Elman network with momentum, equation (9) of the MomentumRNN paper.

    .. math:: v_t = \text{rule}(W x_t + b_{ih}), \qquad h_t = \sigma(U h_{t-1} + b_{hh} + v_t)

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = RNNCell(3, 4, momentum=Momentum(0.6, 0.6))
        >>> out, h, v = cell(torch.zeros(2, 3))
        >>> v.shape
        torch.Size([2, 4])
    """

    _kind = "RNNCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, bias, device, dtype, momentum=momentum)


class LSTMCell(_Cell):
    r"""One step of an LSTM with momentum: the cell of the MomentumRNN paper's Appendix F.

    .. math:: v_t = \text{rule}(W x_t + b_{ih}), \qquad
              \text{gates}_t = v_t + U h_{t-1} + b_{hh}

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = LSTMCell(3, 4, momentum=Momentum(0.6, 0.6))
        >>> hidden, v = None, None
        >>> for x in torch.zeros(5, 2, 3):
        ...     out, hidden, v = cell(x, hidden, v)
        >>> v.shape
        torch.Size([2, 16])
    """

    _kind = "LSTMCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule,
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, device, dtype, momentum=momentum)

    def _states(self, hidden: Any, input: Tensor) -> tuple[Tensor, ...]:
        if hidden is None:
            zero = input.new_zeros(input.shape[0], self.hidden_size)
            return zero, zero
        if not isinstance(hidden, (tuple, list)) or len(hidden) != 2:
            raise TypeError(f"LSTMCell: hidden must be (h, c), got {type(hidden).__name__}")
        return hidden[0], hidden[1]

    def _hidden(self, state: tuple[Tensor, ...]) -> Any:
        return state


class GRUCell(_Cell):
    """One step of a GRU with momentum, with the gates of ``torch.nn.GRUCell``.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = GRUCell(3, 4, momentum=Adam())
        >>> out, h, v = cell(torch.zeros(2, 3))
        >>> v.rms.shape
        torch.Size([2, 12])
    """

    _kind = "GRUCell"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, device, dtype, momentum=momentum)
