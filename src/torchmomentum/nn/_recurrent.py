"""The base class of every recurrent layer: its state, and a sequence through it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from torchmomentum._checks import check_integer
from torchmomentum._torch_private import constant_in_graphs, plain
from torchmomentum._tuples import changed
from torchmomentum.nn._carried import CarriedTensor, WarnsOfLoss, unpacked, without_momentum
from torchmomentum.nn._compute import momentum_width, run_layer
from torchmomentum.nn._sequence import PaddedBatch, flip, read_input
from torchmomentum.nn._state import (
    MomentumStates,
    States,
    change_all,
    from_caller,
    in_order,
    to_caller,
)
from torchmomentum.nn._weights import WeightedLayer
from torchmomentum.nn.rules import RuleState
from torchmomentum.ops import PLAIN

_REMEDIES = (
    "or begin with initial_state(); or, where states go through NumPy or buffers, use "
    "torchmomentum.nn.FlatState"
)
_CALLER = 7  # who called the layer, from where it warns


@constant_in_graphs
def _tell_that_graphs_carry_none(kind: str) -> bool:
    """Warns while a graph is captured: it can look at no value."""
    warnings.warn(
        f"{kind}: in a captured graph a state without momentum begins without it: begin with "
        "initial_state(), and pass on all that is returned",
        stacklevel=2,
    )
    return True


class Recurrent(WarnsOfLoss, WeightedLayer):
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
        weight_dropout: Dropout probability for the recurrent weights.
        zoneout: Zoneout probability for ``h`` and ``c``.
        layer_norm: Normalizes ``W x`` and ``U h``.
        proj_size: Only an LSTM can project; others reject it, as in ``torch.nn``.

    Attributes:
        cell: What the layer computes at each step.
    """

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
            The state of the torch namesake, and after it the momentum state, which has one entry
            for each layer and direction.

        Raises:
            TypeError: ``batch_size`` is no integer.
            ValueError: It is negative.
        """
        weight = self._weights(0, recurrent=False).ih
        like = torch.empty(
            0,
            device=weight.device if device is None else device,
            dtype=weight.dtype if dtype is None else dtype,
        )
        check_integer("batch_size", batch_size, 0, optional=True)
        batch = 1 if batch_size is None else batch_size
        states, momentum = self._form.zeros(batch, like), None
        if self.momentum is not None:
            place: dict[str, Any] = {
                "device": like.device,
                "dtype": torch.promote_types(like.dtype, torch.float32),
            }
            momentum = self._fresh_momentum(batch, **place)
        if batch_size is None:
            states, momentum = change_all(states, momentum, Tensor.squeeze)
        return self._form.join(states, momentum)

    def _momentum_sizes(self, k: int, batch: int) -> tuple[int, int, int]:
        """The batch, the channels that a rule filters and the hidden units it may read."""
        rule: Any = self.momentum
        width = momentum_width(rule, self._weights(k, recurrent=False))
        return batch, width, self._form.widths[0]

    def _fresh_momentum(self, batch: int, **options: Any) -> MomentumStates:
        """Where the rule begins in each layer and direction; options are ``cell_state``'s."""
        rule: Any = self.momentum
        sizes = [self._momentum_sizes(k, batch) for k in range(self._form.layers)]
        return tuple([rule.cell_state(*size, **options) for size in sizes])

    def _read_state(
        self, hx: Any, batch: PaddedBatch
    ) -> tuple[States, MomentumStates | None, bool]:
        """A state as the caller passed it, checked and in the order of the batch.

        Returns:
            The cell's states, the momentum, and whether the caller passed it apart.
        """
        bare, carrier = without_momentum(hx, needed=self.momentum is not None)
        states, momentum = from_caller(self._form, bare, batch, self.momentum)
        apart = momentum is not None
        if self.momentum is not None and not torch.compiler.is_compiling():
            for k, state in enumerate(momentum or ()):
                sizes = self._momentum_sizes(k, batch.data.shape[1])
                self.momentum.check_state(state, *sizes, f"momentum[{k}]")
            if not apart:
                momentum = self._carried_by(carrier, states, batch)
        elif self.momentum is not None and not apart:
            _tell_that_graphs_carry_none(self._form.kind)
        order = None if batch.packed is None else batch.packed.sorted_indices
        return *in_order(states, momentum, order), apart

    def _carried_by(
        self, carrier: CarriedTensor | None, states: States, batch: PaddedBatch
    ) -> MomentumStates | None:
        """The momentum that a state brought along; warns, once, where it was lost on the way."""
        if carrier is not None and carrier.owner != self._owner:
            return None  # that of another layer, as an encoder's: this one's begins
        if carrier is not None and carrier.untouched is not None:
            held = carrier.untouched
            return held if batch.batched else change_all((), held, Tensor.unsqueeze)[1]
        features = None if carrier is None else carrier.momentum_features()
        expected = self._fresh_momentum(states[0].shape[1], device="meta")
        if not all(expected):
            return None  # the rule keeps nothing
        if features is not None:
            found = unpacked(features if batch.batched else features.unsqueeze(1), expected)
            if found is not None:
                return found
        self._warn_of_loss(states, _REMEDIES, _CALLER)
        return None

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """As the torch namesake's, which does not see the weights of a ``functional_call``."""
        try:
            super().check_input(input, batch_sizes)
        except ValueError:
            if input.dtype != self._weights(0, recurrent=False).ih.dtype:
                raise
            first: Any = self._flat_weights[0]
            super().check_input(input.to("meta", first.dtype), batch_sizes)

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Runs the layers over a sequence.

        Args:
            input: ``(T, B, I)``, ``(B, T, I)`` with ``batch_first``, ``(T, I)`` unbatched, or a
                ``PackedSequence``. With ``batch_first`` a nested tensor of the layout
                ``torch.jagged`` too.
            hx: The state as the torch namesake takes it, or the same with the momentum state after
                it (see :meth:`initial_state`). None starts from zeros. An ``h`` that this layer
                returned carries its momentum along, see :class:`CarriedTensor`.
            lengths: How many steps of each sequence of a padded batch count, ``(B,)`` in any order:
                an alternative to a ``PackedSequence``. The outputs after them are zero, the state
                is that after each sequence's last step, and the padding's values do not matter.
                None for all steps.

        Returns:
            The outputs in the form of the input, and the state in the form of ``hx``.

        Raises:
            ValueError: Input of another rank or type than expected, or lengths that do not fit it.
            RuntimeError: Input or state of another size than expected.
            TypeError: A state of another structure than expected.

        Warns:
            UserWarning: Once, where a state that is not zero has lost its momentum.
        """
        batch, form = read_input(self, input, lengths), self._form
        data, momentum, apart = batch.data, None, False
        if hx is None:
            states = form.zeros(data.shape[1], data)
        else:
            states, momentum, apart = self._read_state(hx, batch)
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
        # a copy, also of one: a backend may have kept its last state for the backward
        states = tuple([torch.stack(parts) for parts in zip(*ends, strict=True)])
        carries = not apart and all(kept) and plain()
        state = to_caller(form, states, tuple(kept) if apart or carries else None, batch)
        if carries:
            h, *rest, held = state
            state = form.join((CarriedTensor.of(h, self._owner, held), *rest), None)
        return batch.restored(data, self.batch_first), state

    def _run(
        self, k: int, x: Tensor, state: States, momentum: RuleState | None, batch: PaddedBatch
    ) -> tuple[Tensor, States, RuleState]:
        """One layer in one direction."""
        reverse = self.bidirectional and k % 2 == 1
        if reverse:
            x = flip(x, batch.lengths)
        weights, regularization = self._weights(k), self.regularization
        if self.training and regularization.weight_dropout:
            weights = changed(weights, hh=drop(weights.hh, regularization.weight_dropout))
        modifiers = PLAIN
        if any(regularization):
            modifiers = regularization.draw(x.shape[0], state, self.training)
        if self.layer_norm:
            suffix = self._suffixes[k]
            norms = {name: getattr(self, name + suffix) for name in self.cell.norms}
            modifiers = changed(modifiers, **norms)
        out, last, kept = run_layer(
            self.cell, x, state, weights, self.momentum, momentum, modifiers, batch
        )
        return flip(out, batch.lengths) if reverse else out, last, kept
