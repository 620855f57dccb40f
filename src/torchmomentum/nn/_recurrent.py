"""The base class of every recurrent layer: its weights, its state, a sequence through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop

from torchmomentum._torch_private import adopt_weights
from torchmomentum.nn._compute import Weights, momentum_width, run_layer
from torchmomentum.nn._regularization import Regularization
from torchmomentum.nn._sequence import PaddedBatch, flip, read_input
from torchmomentum.nn._state import (
    MomentumStates,
    StateForm,
    States,
    changed,
    from_caller,
    in_order,
    to_caller,
)
from torchmomentum.nn.rules import Rule, RuleState, checked_rule
from torchmomentum.ops import PLAIN, Cell, cells

NO_EXTRA: Mapping[str, Tensor] = {}

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
    """Whether arguments need no closer look."""
    sizes = input_size, hidden_size, num_layers
    return (
        all([type(size) is int and size > 0 for size in sizes])
        and all([type(flag) is bool for flag in (bias, batch_first, bidirectional)])
        and type(dropout) in (int, float)
        and (dropout == 0 or 0 < dropout <= 1 < num_layers)
        and type(proj_size) is int
        and 0 <= proj_size < hidden_size
    )


class Recurrent(nn.RNNBase):
    """A recurrent layer of any cell, with the interface of ``torch.nn.GRU`` plus a momentum rule.

    A layer of your own is a class that names its cell::

        class MGU(Recurrent):
            cell = Cell(...)

    It takes every rule and option, stacks, runs in both directions, over packed sequences and
    ``lengths``, streams, compiles, and saves and loads its weights as the layers of ``torch.nn``
    do. It is an instance of ``torch.nn.RNNBase``.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Their type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: See :class:`LSTM`, as for the next three.
        weight_dropout: Of the recurrent weights.
        zoneout: Of ``h`` and the further states.
        layer_norm: Of what the weights make of input and state.
        proj_size: Only an LSTM can project; others reject it, as in ``torch.nn``.

    Attributes:
        cell: What the layer computes at each step.
    """

    cell: ClassVar[Cell]

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
        momentum = checked_rule(momentum, optional=True)
        if not isinstance(layer_norm, bool):
            raise TypeError(f"layer_norm must be a bool, got {type(layer_norm).__name__}")
        if layer_norm and "norm_hh" not in self.cell.norms:
            raise ValueError(f"the cell {self.cell.name} has no layer normalization")
        if proj_size and self.cell.projection is None:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        regularization = Regularization.checked(
            recurrent_dropout, weight_dropout, zoneout, len(self.cell.states)
        )
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        if not _plainly_right(*sizes, proj_size):
            # torch says what is wrong: its errors and its warning are ours, in every version
            nn.RNNBase("LSTM", *sizes, proj_size, device="meta")
        nn.Module.__init__(self)
        self.mode = self.cell.name
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size, self.layer_norm = bidirectional, proj_size, layer_norm
        self.regularization = regularization
        # the cell's further weights that this layer has
        projection = self.cell.projection if proj_size else None
        extra = [e for e in self.cell.extra if e.required or e.name == projection]
        self._extra = tuple([e.name for e in extra])
        self._suffixes = [
            f"_l{layer}{direction}"
            for layer in range(num_layers)
            for direction in (("", "_reverse") if bidirectional else ("",))
        ]
        widths = (proj_size or hidden_size, *[hidden_size] * (len(self.cell.states) - 1))
        self._form = StateForm(type(self).__name__, self.cell.states, widths, len(self._suffixes))
        self._register_weights(device, dtype)
        self.reset_parameters()  # not the rule's: it may be another layer's too
        self.momentum = None if momentum is None else momentum.to(device=self._weights(0).ih.device)

    # --- weights ------------------------------------------------------------------------------

    def _register_weights(self, device: Any, dtype: Any) -> None:
        """Makes the parameters, in the order and with the names that ``torch.nn`` has."""
        h, size = self._form.widths[0], self.hidden_size
        rows, directions = self.cell.gates * size, 2 if self.bidirectional else 1
        names: list[list[str]] = []
        for k, suffix in enumerate(self._suffixes):
            width = self.input_size if k < directions else h * directions
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, width),
                "weight_hh": (rows, h),
            }
            if self.bias:
                shapes.update(bias_ih=(rows,), bias_hh=(rows,))
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
        """See ``torch.nn.RNNBase``; only the cells that cuDNN knows have a form of its own."""
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

    def _weights(self, k: int) -> Weights:
        """The weights of one layer and direction."""
        suffix = self._suffixes[k]
        ih, hh = getattr(self, "weight_ih" + suffix), getattr(self, "weight_hh" + suffix)
        bias_ih = bias_hh = None
        if self.bias:
            bias_ih, bias_hh = getattr(self, "bias_ih" + suffix), getattr(self, "bias_hh" + suffix)
        extra = NO_EXTRA
        if self._extra:
            extra = {name: getattr(self, name + suffix) for name in self._extra}
        norm_ih = getattr(self, "norm_ih" + suffix) if self.layer_norm else None
        return Weights(ih, hh, bias_ih, bias_hh, extra, norm_ih)

    def extra_repr(self) -> str:
        """What the original shows, and the options of ours that are on."""
        options = {k: v for k, v in self.regularization._asdict().items() if v}
        if self.layer_norm:
            options["layer_norm"] = True
        return ", ".join([super().extra_repr(), *(f"{k}={v}" for k, v in options.items())])

    # --- state --------------------------------------------------------------------------------

    def initial_state(
        self,
        batch_size: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """Zeros to start streaming from: what :meth:`forward` then takes and returns.

        Args:
            batch_size: The batch, or None for unbatched input.
            device: Where; by default where the weights are.
            dtype: Their type; by default that of the weights. The momentum state is kept in
                float32 where this is shorter.

        Returns:
            The state of the torch namesake, and behind it the momentum state, which has one entry
            for each layer and direction.

        Raises:
            TypeError: ``batch_size`` is no integer.
            ValueError: It is negative.
        """
        weight = self._weights(0).ih
        like = torch.empty(
            0,
            device=weight.device if device is None else device,
            dtype=weight.dtype if dtype is None else dtype,
        )
        if batch_size is not None:
            if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
                kind = type(batch_size).__name__
                raise TypeError(f"batch_size must be an int or None, got {kind}")
            if batch_size < 0:
                raise ValueError(f"batch_size must be at least 0, got {batch_size!r}")
        batch = 1 if batch_size is None else batch_size
        states, momentum = self._form.zeros(batch, like), None
        rule = self.momentum
        if rule is not None:
            place: dict[str, Any] = {
                "device": like.device,
                "dtype": torch.promote_types(like.dtype, torch.float32),
            }
            sizes = [self._momentum_sizes(k, batch) for k in range(self._form.layers)]
            momentum = tuple([rule.cell_state(*size, **place) for size in sizes])
        if batch_size is None:
            states, momentum = changed(states, momentum, Tensor.squeeze)
        return self._form.join(states, momentum)

    def _momentum_sizes(self, k: int, batch: int) -> tuple[int, int, int]:
        """The batch, the channels that a rule filters and the hidden units it may read."""
        rule: Any = self.momentum
        width = momentum_width(rule, self._weights(k))
        return batch, width, self._form.widths[0]

    def _read_state(self, hx: Any, batch: PaddedBatch) -> tuple[States, MomentumStates | None]:
        """A state as the caller passed it, checked and in the order of the batch."""
        states, momentum = from_caller(self._form, hx, batch, self.momentum)
        if self.momentum is not None and not torch.compiler.is_compiling():
            for k, state in enumerate(momentum or ()):
                sizes = self._momentum_sizes(k, batch.data.shape[1])
                self.momentum.check_state(state, *sizes, f"momentum[{k}]")
        order = None if batch.packed is None else batch.packed.sorted_indices
        return in_order(states, momentum, order)

    # --- the computation ----------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Runs the layers over a sequence.

        Args:
            input: ``(T, B, I)``, ``(B, T, I)`` with ``batch_first``, ``(T, I)`` unbatched, or a
                ``PackedSequence``.
            hx: The state as the torch namesake takes it, or the same with the momentum state behind
                it (see :meth:`initial_state`). None starts from zeros.
            lengths: How many steps of each sequence of a padded batch count, ``(B,)`` in any order:
                an alternative to a ``PackedSequence``. The outputs behind them are zero, the state
                is that after each sequence's last step, and the padding's values do not matter.
                None for all steps.

        Returns:
            The outputs in the form of the input, and the state in the form of ``hx``.

        Raises:
            ValueError: Input of another rank or type than expected, or lengths that do not fit it.
            RuntimeError: Input or state of another size than expected.
            TypeError: A state of another structure than expected.
        """
        batch, form = read_input(self, input, lengths), self._form
        data, momentum = batch.data, None
        if hx is None:
            states = form.zeros(data.shape[1], data)
        else:
            states, momentum = self._read_state(hx, batch)
        ends: list[States] = []
        kept: list[RuleState] = []
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outputs: list[Tensor] = []
            for k in range(layer * directions, (layer + 1) * directions):
                start = tuple([state[k] for state in states])
                held = None if momentum is None else momentum[k]
                out, last, rule_state = self._run(k, data, start, held, batch)
                outputs.append(out)
                ends.append(last)
                kept.append(rule_state)
            data = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                data = drop(data, self.dropout)
        states = tuple([torch.stack(parts) for parts in zip(*ends, strict=True)])
        return (
            batch.restored(data, self.batch_first),
            to_caller(form, states, None if momentum is None else tuple(kept), batch),
        )

    def _run(
        self, k: int, x: Tensor, state: States, momentum: RuleState | None, batch: PaddedBatch
    ) -> tuple[Tensor, States, RuleState]:
        """One layer in one direction."""
        reverse = self.bidirectional and k % 2 == 1
        if reverse:
            x = flip(x, batch.lengths)
        weights, regularization = self._weights(k), self.regularization
        if self.training and regularization.weight_dropout:
            weights = weights._replace(hh=drop(weights.hh, regularization.weight_dropout))
        modifiers = PLAIN
        if any(regularization):
            modifiers = regularization.draw(x.shape[0], state, self.training)
        if self.layer_norm:
            suffix = self._suffixes[k]
            norms = {name: getattr(self, name + suffix) for name in self.cell.norms}
            modifiers = modifiers._replace(**norms)
        out, last, kept = run_layer(
            self.cell, x, state, weights, self.momentum, momentum, modifiers, batch
        )
        return flip(out, batch.lengths) if reverse else out, last, kept
