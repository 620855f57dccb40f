"""The classes of converted layers and cells: those of ``torch.nn``, computing as ours do.

A converted module stays the object that it was, of a class that is its former one and ours:
``isinstance(module, torch.nn.LSTM)`` holds, and what a subclass adds to it is still there. Ours
comes before ``torch.nn``'s in the order of inheritance, so that ``super().forward`` of a subclass
calls ours.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum._torch_private import is_tracing, transformed
from torchmomentum.nn._carried import CarriedTensor, WarnsOfLoss, packed, unpacked, without_momentum
from torchmomentum.nn._cells import GRUCell, LSTMCell, RecurrentCell, RNNCell
from torchmomentum.nn._rnn import GRU, LSTM, RNN

_CALLER = 7  # who called the cell, from where it warns


class _Converted(nn.Module):
    """What was converted is saved as its former class, and what to do with it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        return (_blank, (former_class(type(self)),), *reduced[2:])


class _CarryingCell(WarnsOfLoss, RecurrentCell):
    """A cell with the interface of ``torch.nn``'s: its ``h`` carries the momentum along."""

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # type: ignore[override]
        """One step, as the cell of ``torch.nn`` makes it.

        Args:
            input: ``(B, I)`` or ``(I,)``.
            hx: ``(h, c)`` for an LSTM, ``h`` otherwise; zeros where None.

        Returns:
            The new state.

        Raises:
            RuntimeError: A graph is captured, or a transform of ``torch.func`` is at work, in which
                a state carries nothing.
            ValueError: Input of another rank.
        """
        kind = type(self).__name__
        if is_tracing() or transformed():
            raise RuntimeError(
                f"{kind} was converted, and its h carries the momentum, which no captured graph "
                f"and no transform of torch.func can see: use torchmomentum.nn.{kind} there"
            )
        if input.dim() not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        bare, carrier = without_momentum(hx)
        batched = input.dim() == 2
        if not batched:
            input, bare = input.unsqueeze(0), self._each(bare, lambda t: t.unsqueeze(0))
        v = self._carried_by(carrier, bare, input)
        _, state, made = super().forward(input, bare, v)
        made = (made,) if isinstance(made, Tensor) else made
        h = state if isinstance(state, Tensor) else state[0]
        if made:
            h = CarriedTensor.of(h, self._owner, features=packed((made,), h.shape[:-1])[0])
        state = h if isinstance(state, Tensor) else (h, *state[1:])
        return state if batched else self._each(state, lambda t: t[0])

    @staticmethod
    def _each(state: Any, change: Any) -> Any:
        if isinstance(state, Tensor):
            return change(state)
        return None if state is None else tuple([change(part) for part in state])

    def _carried_by(self, carrier: CarriedTensor | None, hx: Any, input: Tensor) -> Any:
        """The momentum that ``h`` brought along, or None; warns, once, where it was lost."""
        if hx is None or (carrier is not None and carrier.owner != self._owner):
            return None
        sizes = input.shape[0], self.weight_ih.shape[0], self.hidden_size
        expected = self.momentum.cell_state(*sizes, device="meta")
        if not expected:
            return None
        features = None if carrier is None else carrier.momentum_features()
        if features is not None:
            batched = features if features.dim() == 2 else features.unsqueeze(0)
            found = unpacked(batched.unsqueeze(0), (expected,))
            if found is not None:
                return found[0]
        states = (hx,) if isinstance(hx, Tensor) else hx
        self._warn_of_loss(states, f"or use torchmomentum.nn.{type(self).__name__}", _CALLER)
        return None


_OURS: dict[type, type] = {
    nn.RNN: RNN,
    nn.LSTM: LSTM,
    nn.GRU: GRU,
    nn.RNNCell: RNNCell,
    nn.LSTMCell: LSTMCell,
    nn.GRUCell: GRUCell,
}


def torchs_class(kind: type) -> Any:
    """The class of ``torch.nn`` that another computes as; None where it is none of those."""
    for torchs, ours in _OURS.items():
        if issubclass(kind, (ours, torchs)):
            return torchs
    return None


def our_class(kind: type) -> Any:
    """Ours that computes as a class or a subclass of ``torch.nn``; None where there is none."""
    return _OURS.get(torchs_class(kind))


@cache
def converted_class(former: type) -> Any:
    """The class of what was of class ``former``, one of ``torch.nn``'s or a subclass."""
    torchs, ours = torchs_class(former), our_class(former)
    names: dict[str, Any] = {"__module__": __name__, "__doc__": former.__doc__}
    if former is not torchs:
        names["__module__"] = former.__module__
        bases: tuple[type, ...] = former, converted_class(torchs)
    elif issubclass(ours, RecurrentCell):
        bases = _Converted, _CarryingCell, ours, torchs
        # its first use imports the compiler, and takes a second
        names["forward"] = torch.compiler.disable(_CarryingCell.forward)
    else:
        bases = _Converted, ours, torchs
    return type(former.__name__, bases, {**names, "__qualname__": former.__qualname__})


def former_class(kind: type) -> type:
    """The class that :func:`converted_class` made this one of."""
    former = kind.__bases__[0]
    return kind.__bases__[-1] if former is _Converted else former


def is_converted(module: nn.Module) -> bool:
    """Whether a module is of a class that :func:`converted_class` made."""
    return isinstance(module, _Converted)


def _blank(former: type) -> Any:
    kind = converted_class(former)
    return kind.__new__(kind)
