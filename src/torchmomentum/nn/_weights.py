"""What a recurrent layer is made of: its arguments, its weights and their names."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_bool
from torchmomentum._torch_private import adopt_weights
from torchmomentum.nn._compute import LayerWeights
from torchmomentum.nn._regularization import Regularization
from torchmomentum.nn._rule_in_state_dict import TellsItsRule
from torchmomentum.nn._set_by_others import AnswersOthers
from torchmomentum.nn._state import StateForm
from torchmomentum.nn.rules import Rule, check_space, checked_rule
from torchmomentum.ops import Cell, cells

_NO_EXTRA: Mapping[str, Tensor] = {}
_CUDNN = (cells.LSTM, cells.GRU, cells.RNN_TANH, cells.RNN_RELU)


def _plainly_right(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any,
    bias: Any,
    batch_first: Any,
    dropout: Any,
    bidirectional: Any,
    proj_size: Any,
) -> bool:
    """Whether the arguments that ``torch.nn`` has too need no closer look."""
    sizes = input_size, hidden_size, num_layers
    return (
        all([type(size) is int and size > 0 for size in sizes])
        and all([type(flag) is bool for flag in (bias, batch_first, bidirectional)])
        and type(dropout) in (int, float)
        and (dropout == 0 or 0 < dropout <= 1 < num_layers)
        and type(proj_size) is int
        and 0 <= proj_size < hidden_size
    )


def check_cell_class(made: nn.Module) -> None:
    """Checks that a layer or a one-step cell says what it computes.

    Raises:
        TypeError: Its class has no ``cell``.
    """
    if not isinstance(getattr(made, "cell", None), Cell):
        raise TypeError(
            f"{type(made).__name__} must name its cell: cell = torchmomentum.ops.Cell(...)"
        )


def check_scanned(cell: Cell, rule: Rule | None, regularization: Regularization) -> None:
    """Checks that nothing is asked of a cell without recurrent weights that needs them.

    Raises:
        ValueError: Something is.
    """
    if cell.scan is None:
        return
    asked = [name for name, value in regularization._asdict().items() if value]
    if rule is not None and (rule.reads_hidden or rule.space == "hidden"):
        asked.append(f"the rule {type(rule).__name__} in hidden space")
    if asked:
        raise ValueError(f"the cell {cell.name} has no recurrent weights, and no {asked[0]}")


class WeightedLayer(AnswersOthers, TellsItsRule, nn.RNNBase):
    """The weights of a recurrent layer of any cell, as ``torch.nn`` names, orders and draws them.

    The arguments are those of :class:`Recurrent`.
    """

    cell: ClassVar[Cell]
    _has_recurrent_parameter: ClassVar[bool] = True  # else the layer makes the matrix of others

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
    ) -> None:
        check_cell_class(self)
        momentum = checked_rule(momentum, optional=True)
        check_bool("layer_norm", layer_norm)
        if layer_norm and "norm_hh" not in self.cell.norms:
            raise ValueError(f"the cell {self.cell.name} has no layer normalization")
        if proj_size and self.cell.projection is None:
            if self.cell.name in ("GRU", "RNN_TANH", "RNN_RELU"):  # as torch says it
                raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
            raise ValueError(f"the cell {self.cell.name} has no projection")
        check_space(momentum, proj_size)
        regularization = Regularization.checked(
            recurrent_dropout, weight_dropout, zoneout, len(self.cell.states)
        )
        check_scanned(self.cell, momentum, regularization)
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        if not _plainly_right(*sizes, proj_size):
            # torch says what is wrong: its errors and its warning are ours, in every version
            nn.RNNBase("LSTM", *sizes, proj_size, device="meta")
        nn.Module.__init__(self)
        self.mode = self.cell.name
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._set_up(regularization, layer_norm)
        self._register_weights(device, dtype)
        self.reset_parameters()  # not the rule's: it may be another layer's too
        self.momentum = None if momentum is None else momentum.beside(next(self.parameters()))

    def _set_up(self, regularization: Regularization, layer_norm: bool) -> None:
        """Sets what ``torch.nn``'s layers do not have, but for the rule, of what they have."""
        self.regularization, self.layer_norm = regularization, layer_norm
        # the cell's further weights that this layer has
        projection = self.cell.projection if self.proj_size else None
        extra = [e for e in self.cell.extra if e.required or e.name == projection]
        self._extra = tuple([e.name for e in extra])
        self._suffixes = [
            f"_l{layer}{direction}"
            for layer in range(self.num_layers)
            for direction in (("", "_reverse") if self.bidirectional else ("",))
        ]
        others = [self.hidden_size] * (len(self.cell.states) - 1)
        widths = (self.proj_size or self.hidden_size, *others)
        self._form = StateForm(type(self).__name__, self.cell.states, widths, len(self._suffixes))
        self._owner = secrets.token_hex(8)  # see WarnsOfLoss

    def _register_weights(self, device: Any, dtype: Any) -> None:
        """Makes the parameters, in the order and with the names that ``torch.nn`` has."""
        h, size = self._form.widths[0], self.hidden_size
        rows, directions = self.cell.gates * size, 2 if self.bidirectional else 1
        names: list[list[str]] = []
        for k, suffix in enumerate(self._suffixes):
            width = self.input_size if k < directions else h * directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width)}
            if self._has_recurrent_parameter and self.cell.scan is None:
                shapes["weight_hh"] = rows, h
            if self.bias:
                shapes["bias_ih"] = (rows,)
            if self.bias and self.cell.scan is None:
                shapes["bias_hh"] = (rows,)
            for extra in self.cell.extra:
                if extra.name in self._extra:
                    shapes[extra.name] = extra.shape(h, size)
            for name, shape in shapes.items():
                weight = torch.empty(shape, device=device, dtype=dtype)
                self.register_parameter(name + suffix, nn.Parameter(weight))
            names.append([name + suffix for name in shapes])
        for name, width in self._norms():
            gain = torch.empty(width, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(gain))
        adopt_weights(self, names)

    def reset_parameters(self) -> None:
        """Draws all weights and biases as ``torch.nn`` does; sets learned hyperparameters back."""
        bound = self.hidden_size**-0.5
        for weights in self.all_weights:
            for weight in weights:
                nn.init.uniform_(weight, -bound, bound)
        for name, _ in self._norms():
            nn.init.constant_(getattr(self, name), 0.0 if "bias" in name else 1.0)
        rule: Rule | None = getattr(self, "momentum", None)
        if rule is not None:
            rule.reset_parameters()

    def flatten_parameters(self) -> None:
        """See ``torch.nn.RNNBase``; does nothing for cells that cuDNN does not know."""
        if self.cell in _CUDNN:
            super().flatten_parameters()

    def _norms(self) -> list[tuple[str, int]]:
        """The normalizations' parameters by name, and how wide they are."""
        rows, size = self.cell.gates * self.hidden_size, self.hidden_size
        norms = ("norm_ih", *self.cell.norms) if self.layer_norm else ()
        return [
            (name + suffix, size if name.startswith("norm_c") else rows)
            for suffix in self._suffixes
            for name in norms
        ]

    def _recurrent_weight(self, k: int) -> Tensor:
        suffix = self._suffixes[k]
        if self.cell.scan is not None:
            like: Tensor = getattr(self, "weight_ih" + suffix)
            return like.new_empty(0)
        weight: Tensor = getattr(self, "weight_hh" + suffix)
        return weight

    def _weights(self, k: int, recurrent: bool = True) -> LayerWeights:
        """The weights of one layer and direction; ``hh`` may be left out, which may take long."""
        suffix = self._suffixes[k]
        ih: Tensor = getattr(self, "weight_ih" + suffix)
        hh = self._recurrent_weight(k) if recurrent else ih.new_empty(0)
        bias_ih = bias_hh = None
        if self.bias:
            bias_ih = getattr(self, "bias_ih" + suffix)
            bias_hh = getattr(self, "bias_hh" + suffix, None)
        extra = _NO_EXTRA
        if self._extra:
            extra = {name: getattr(self, name + suffix) for name in self._extra}
        norm_ih = getattr(self, "norm_ih" + suffix) if self.layer_norm else None
        return LayerWeights(ih, hh, bias_ih, bias_hh, extra, norm_ih)

    def extra_repr(self) -> str:
        """What the torch namesake shows, and which of our options are on."""
        options = {k: v for k, v in self.regularization._asdict().items() if v}
        if self.layer_norm:
            options["layer_norm"] = True
        return ", ".join([super().extra_repr(), *(f"{k}={v}" for k, v in options.items())])
