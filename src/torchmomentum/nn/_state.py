"""The state of a layer: as a caller passes and gets it, and as one tensor for each part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from torchmomentum.nn._sequence import PaddedBatch
from torchmomentum.nn.rules import Rule, RuleState, with_parts

States: TypeAlias = "tuple[Tensor, ...]"  # h, and c of an LSTM
MomentumStates: TypeAlias = "tuple[RuleState, ...]"  # one for each layer and direction


class StateForm(NamedTuple):
    """What the state of a layer is made of.

    Attributes:
        kind: The layer's class, for messages.
        names: Of the cell's states, ``h`` first.
        widths: How wide they are.
        layers: Layers times directions.
    """

    kind: str
    names: tuple[str, ...]
    widths: tuple[int, ...]
    layers: int

    def zeros(self, batch: int, like: Tensor) -> States:
        """The cell's states to start from, each ``(layers, B, H)``."""
        return tuple([like.new_zeros(self.layers, batch, width) for width in self.widths])

    def join(self, states: States, momentum: MomentumStates | None) -> Any:
        """The state as the caller sees it."""
        parts = states if momentum is None else (*states, momentum)
        return parts if len(parts) > 1 else parts[0]

    def split(self, hx: Any, rule: Rule | None) -> tuple[States, MomentumStates | None]:
        """The cell's states and, where the caller passed it, the momentum state.

        Raises:
            TypeError: ``hx`` has another structure.
            ValueError: There is a momentum state and no rule.
        """
        count = len(self.names)
        parts = hx if isinstance(hx, (tuple, list)) else (hx,)
        # one state alone is a tensor, not a tuple of one
        fits = len(parts) in (count, count + 1) and not (len(parts) == 1 and parts is hx)
        if not fits or not all([isinstance(part, Tensor) for part in parts[:count]]):
            names = ", ".join(self.names)
            alone = f"a tensor {names}" if count == 1 else f"({names})"
            raise TypeError(
                f"{self.kind}: hx must be {alone} or ({names}, momentum), got {_described(hx)}"
            )
        if len(parts) == count:
            return tuple(parts), None
        momentum = parts[count]
        if rule is None:
            raise ValueError(f"{self.kind} without a momentum rule takes no momentum state")
        if not isinstance(momentum, (tuple, list)) or len(momentum) != self.layers:
            raise TypeError(
                f"{self.kind}: the momentum state must hold one entry for each of the "
                f"{self.layers} layers and directions, as initial_state() makes it, got "
                f"{_described(momentum)}"
            )
        return tuple(parts[:count]), tuple(momentum)

    def check_ranks(self, states: States, batched: bool) -> None:
        """Raises torch's RuntimeError where a state has too many or too few dimensions."""
        expected, form = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        ranks = [f"{state.dim()}-D" for state in states]
        if any([state.dim() != expected for state in states]):
            names = " and ".join([f"{name}x" for name in self.names])
            found = f"{ranks[0]} tensor" if len(ranks) == 1 else f"({', '.join(ranks)}) tensors"
            raise RuntimeError(
                f"For {form} input, {names} should also be {expected}-D but got {found}"
            )

    def check_sizes(self, states: States, batch: int) -> None:
        """Raises torch's RuntimeError where a state ``(layers, B, H)`` has another size."""
        for i, (state, width) in enumerate(zip(states, self.widths, strict=True)):
            expected = self.layers, batch, width
            if tuple(state.shape) != expected:
                name = "hidden size" if len(states) == 1 else f"hidden[{i}] size"
                raise RuntimeError(f"Expected {name} {expected}, got {list(state.shape)}")


def change_all(
    states: States,
    momentum: MomentumStates | None,
    change: Callable[[Tensor, int], Tensor],
) -> tuple[States, MomentumStates | None]:
    """Both with each tensor changed by a function of it and of where its batch stands."""
    states = tuple([change(state, 1) for state in states])
    if momentum is None:
        return states, None
    found: list[RuleState] = []
    for state in momentum:
        found.append(with_parts(state, [change(part, 0) for part in state]))
    return states, tuple(found)


def from_caller(
    form: StateForm, hx: Any, batch: PaddedBatch, rule: Rule | None
) -> tuple[States, MomentumStates | None]:
    """A state as it was passed, with a batch, in the order of the batch.

    The momentum state is not yet checked: its sizes depend on the layer.
    """
    states, momentum = form.split(hx, rule)
    form.check_ranks(states, batch.batched)
    if not batch.batched:
        states, momentum = change_all(states, momentum, Tensor.unsqueeze)
    form.check_sizes(states, batch.data.shape[1])
    return states, momentum


def in_order(
    states: States, momentum: MomentumStates | None, order: Tensor | None
) -> tuple[States, MomentumStates | None]:
    """Both with their batches in another order; None leaves them."""
    if order is None:
        return states, momentum
    return change_all(states, momentum, lambda part, dim: part.index_select(dim, order))


def to_caller(
    form: StateForm, states: States, momentum: MomentumStates | None, batch: PaddedBatch
) -> Any:
    """The state in the form and the order in which the input came."""
    if batch.packed is not None:
        states, momentum = in_order(states, momentum, batch.packed.unsorted_indices)
    elif not batch.batched:
        states, momentum = change_all(states, momentum, Tensor.squeeze)
    return form.join(states, momentum)


def _described(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__
