"""One-step cells with explicit state, in the form of the listing in the paper's Appendix F."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torchmomentum.nn._compute import LayerWeights, run_step
from torchmomentum.nn._rnn import elman
from torchmomentum.nn._rule_in_state_dict import TellsItsRule
from torchmomentum.nn._set_by_others import AnswersOthers
from torchmomentum.nn._weights import check_cell_class
from torchmomentum.nn.rules import Rule, RuleState, check_space, checked_rule
from torchmomentum.ops import Cell
from torchmomentum.ops.cells import GRU, LSTM

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class RecurrentCell(AnswersOthers, TellsItsRule, nn.RNNCellBase):
    """One step of any cell with momentum, its states explicit.

    A cell of your own is a class that names what it computes::

        class MGUCell(RecurrentCell):
            cell = Cell(...)

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Attributes:
        cell: What is computed at each step.
    """

    cell: ClassVar[Cell]

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
        check_cell_class(self)
        momentum = checked_rule(momentum, optional=False)
        check_space(momentum)
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        super().__init__(input_size, hidden_size, bias, self.cell.gates, device, dtype)
        for extra in self.cell.extra:
            if extra.required:
                shape = extra.shape(hidden_size, hidden_size)
                weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)
                self.register_parameter(extra.name, weight)
        self.momentum = momentum.beside(self.weight_ih)

    def reset_parameters(self) -> None:
        """Draws weights and biases as ``torch.nn`` does; sets learned hyperparameters back."""
        bound = self.hidden_size**-0.5
        for weight in self.parameters(recurse=False):
            nn.init.uniform_(weight, -bound, bound)
        if getattr(self, "momentum", None) is not None:
            self.momentum.reset_parameters()

    def _check_input(self, input: Tensor) -> None:
        if input.dim() != 2:
            kind = type(self).__name__
            raise ValueError(f"{kind}: Expected input to be 2D, got {input.dim()}D instead")
        if input.shape[1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {input.shape[1]}"
            )

    def _states(self, hidden: Any, input: Tensor) -> tuple[Tensor, ...]:
        """The cell's states as they were passed, checked; zeros where None."""
        names, shape = self.cell.states, (input.shape[0], self.hidden_size)
        if hidden is None:
            return tuple([input.new_zeros(shape)] * len(names))
        parts = (hidden,) if len(names) == 1 else hidden
        if (
            not isinstance(parts, (tuple, list))
            or len(parts) != len(names)
            or not all([isinstance(part, Tensor) for part in parts])
        ):
            expected = "a tensor" if len(names) == 1 else f"({', '.join(names)})"
            kind, found = type(self).__name__, type(hidden).__name__
            raise TypeError(f"{kind}: hidden must be {expected}, got {found}")
        for part in parts:
            if tuple(part.shape) != shape:
                raise RuntimeError(f"Expected hidden size {shape}, got {list(part.shape)}")
        return tuple(parts)

    def _momentum_state(self, v: Tensor | RuleState | None, input: Tensor, rule: Rule) -> RuleState:
        """The rule's state as it was passed, checked; its initial state where None."""
        hidden = self.hidden_size
        sizes = input.shape[0], self.cell.gates * hidden, hidden
        if v is None:
            dtype = torch.promote_types(input.dtype, torch.float32)
            return rule.cell_state(*sizes, device=input.device, dtype=dtype)
        return rule.check_state(v, *sizes, "v")

    def _weight(self, name: str) -> Any:
        """A weight by its name; past the search of ``nn.Module``, which a stream would notice."""
        own = self._parameters
        return own[name] if name in own else getattr(self, name)

    def forward(self, input: Tensor, hidden: Any = None, v: Any = None) -> tuple[Tensor, Any, Any]:
        """One step.

        Args:
            input: ``(B, I)``.
            hidden: ``(h, c)`` for an LSTM, ``h`` otherwise, each ``(B, H)``; zeros where None.
            v: The momentum state in gate space, ``(B, G H)``: a tensor where the rule's state is
                one tensor, else the rule's tuple; the rule's initial state where None.

        Returns:
            The new ``h``, the new ``hidden``, and the new ``v``.

        Raises:
            ValueError: Input that is not two-dimensional.
            RuntimeError: Input or state of another size than expected.
            TypeError: A state of another structure than expected.
        """
        self._check_input(input)
        state = self._states(hidden, input)
        cell, rule = self.cell, self.momentum
        momentum = self._momentum_state(v, input, rule)
        extra = {each.name: self._weight(each.name) for each in cell.extra if each.required}
        ih, hh, bias_ih, bias_hh = [self._weight(name) for name in _WEIGHTS]
        weights = LayerWeights(ih, hh, bias_ih, bias_hh, extra)
        state, momentum = run_step(cell, input, state, weights, rule, momentum)
        new = state if len(state) > 1 else state[0]
        return state[0], new, momentum[0] if len(momentum) == 1 else momentum


class RNNCell(RecurrentCell):
    r"""One step of an Elman network with momentum, equation (9) of the MomentumRNN paper.

    .. math:: v_t = \text{rule}(W x_t + b_{ih}), \qquad h_t = \sigma(U h_{t-1} + b_{hh} + v_t)

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = RNNCell(3, 4, momentum=Momentum(0.6, 0.6))
        >>> out, h, v = cell(torch.zeros(2, 3))
        >>> v.shape
        torch.Size([2, 4])
    """

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
        self.nonlinearity = nonlinearity
        self.cell = elman(nonlinearity)  # type: ignore[misc]
        super().__init__(input_size, hidden_size, bias, device, dtype, momentum=momentum)


class LSTMCell(RecurrentCell):
    r"""One step of an LSTM with momentum: the cell of the MomentumRNN paper's Appendix F.

    .. math:: v_t = \text{rule}(W x_t + b_{ih}), \qquad
              \text{gates}_t = v_t + U h_{t-1} + b_{hh}

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = LSTMCell(3, 4, momentum=Momentum(0.6, 0.6))
        >>> hidden, v = None, None
        >>> for x in torch.zeros(5, 2, 3):
        ...     out, hidden, v = cell(x, hidden, v)
        >>> v.shape
        torch.Size([2, 16])
    """

    cell = LSTM


class GRUCell(RecurrentCell):
    """One step of a GRU with momentum, with the gates of ``torch.nn.GRUCell``.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        bias: Whether there are biases.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`.

    Example:
        >>> cell = GRUCell(3, 4, momentum=Adam())
        >>> out, h, v = cell(torch.zeros(2, 3))
        >>> v.rms.shape
        torch.Size([2, 12])
    """

    cell = GRU
