"""What a recurrent cell is, and the register of cells by name."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.functional import layer_norm, linear

from torchmomentum.ops._modifiers import Modifiers

State = tuple[Tensor, ...]
NO_EXTRA: Mapping[str, Tensor] = {}


class Weights(NamedTuple):
    """A cell's recurrent weights.

    Attributes:
        weight_hh: What multiplies the state, ``(G H, H)``.
        bias_hh: What is added to it, ``(G H,)``, or None.
        extra: The cell's further weights by name; those that are optional may be absent.
    """

    weight_hh: Tensor
    bias_hh: Tensor | None = None
    extra: Mapping[str, Tensor] = NO_EXTRA


Step = Callable[[Tensor, State, Weights, Tensor, Modifiers], State]
Scan = Callable[[Tensor, State, Weights, Tensor | None], tuple[Tensor, ...]]


class Extra(NamedTuple):
    """A weight that a cell has beside ``weight_hh`` and ``bias_hh``.

    Attributes:
        name: Its name, as in a layer's state dict without the suffix.
        shape: Its shape, from the width of ``h`` and from that of the gates.
        required: Whether the cell always has it.
    """

    name: str
    shape: Callable[[int, int], tuple[int, ...]]
    required: bool = True


class Gradient(NamedTuple):
    """A cell's loop over time and its gradient, both written out in PyTorch operations.

    Attributes:
        step: The definition that it is the gradient of.
        forward: Takes pre-activations, state, weights and a mask ``(T, B, 1)`` or None. Returns the
            outputs, the last state, and what the backward needs.
        backward: Takes the first state, weights, mask, ``(outputs, *kept)``, and the gradients of
            outputs and last state, each or None. Returns the gradients of the pre-activations, the
            state, ``weight_hh``, and of ``bias_hh`` and the extra weights where they are given.
        keep: Takes pre-activations and state. Returns empty tensors like those that the forward
            keeps.
        kept: How many these are.
    """

    step: Step
    forward: Callable[[Tensor, State, Weights, Tensor | None], tuple[Tensor, ...]]
    backward: Callable[..., list[Tensor]]
    keep: Callable[[Tensor, State], tuple[Tensor, ...]]
    kept: int


_numbers = itertools.count(1)
_PROCESS = secrets.token_hex(4)  # so that no other process takes an unregistered cell for its own
_by_key: dict[str, Cell] = {}
_prepare: list[Callable[[Cell], None]] = []


@dataclass(frozen=True, eq=False)
class Cell:
    r"""A recurrent cell, defined by one step.

    A cell runs everywhere by its step: in layers, with lengths, in half precision, in captured
    graphs and under ``torch.func``. Faster kernels name the cells that they serve, and serve no
    other, whatever its name.

    Args:
        name: What it is called in messages and, once registered, in operators and exported
            programs.
        gates: How many pre-activations a unit has, :math:`G`.
        step: The definition: ``step(pre, state, weights, operand, modifiers)`` returns the next
            state. ``pre`` is what the input contributes, ``(B, G H)``; ``state`` a tuple with
            ``h`` first, each ``(B, H)``; ``operand`` is what ``weight_hh`` multiplies: ``h``, or
            what the modifiers make of it. :func:`recurrent` makes the product.
        states: The names of the states, the first is the output.
        extra: Further weights.
        projection: Which of these projects ``h``, if any: ``h`` has another width with it.
        norms: Which normalizations of :class:`~torchmomentum.ops.Modifiers` the step applies;
            :func:`recurrent` applies the default. :func:`~torchmomentum.testing.check_rnn` finds a
            step that leaves one out.
        gradient: The loop over time with its gradient written out, where there is one.
        scan: All steps at once, for a cell without recurrent weights: takes pre-activations,
            state, weights (its further ones) and lengths ``(B,)`` or None; returns the outputs and
            the last state. Its layers have neither ``weight_hh`` nor ``bias_hh``.

    Example:
        >>> def step(pre, state, weights, operand, modifiers):
        ...     return (torch.sin(pre + recurrent(weights, operand, modifiers)),)
        >>> cell = Cell("SINE", gates=1, step=step)
        >>> from torchmomentum.ops import scan
        >>> out, h = scan(cell, torch.ones(3, 1, 1), (torch.zeros(1, 1),), [torch.zeros(1, 1)])
        >>> round(h.item(), 4)
        0.8415
    """

    name: str
    gates: int
    step: Step = field(repr=False)
    states: tuple[str, ...] = ("h",)
    extra: tuple[Extra, ...] = ()
    projection: str | None = None
    norms: tuple[str, ...] = ("norm_hh",)
    gradient: Gradient | None = field(default=None, repr=False)
    scan: Scan | None = field(default=None, repr=False)
    key: str = field(default="", init=False, repr=False)  # names it in operators

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a cell's name must be an identifier, got {self.name!r}")
        if self.gates < 1:
            raise ValueError(f"gates must be at least 1, got {self.gates}")
        if not self.states or self.states[0] != "h":
            raise ValueError(f"a cell's first state must be 'h', got {self.states}")
        if self.gradient is not None and self.gradient.step is not self.step:
            raise ValueError(f"the gradient of the cell {self.name!r} is of another step")
        self._enter(f"{self.name}/{_PROCESS}-{next(_numbers)}")
        for prepare in _prepare:
            prepare(self)

    def _enter(self, key: str) -> None:
        object.__setattr__(self, "key", key)
        _by_key[key] = self

    def __deepcopy__(self, memo: Any) -> Cell:
        return self

    def __reduce__(self) -> Any:
        if _by_key.get(self.name) is self:
            return find, (self.name,)
        values = (self.name, self.gates, self.step, self.states, self.extra)
        return Cell, (*values, self.projection, self.norms, self.gradient, self.scan)


def register(cell: Cell) -> Cell:
    """Makes a cell known by its name, also in exported programs and saved models.

    A cell works without that; programs and models that hold it are then for this process only.

    Returns:
        The cell.

    Raises:
        ValueError: Another cell has the name.
    """
    if _by_key.setdefault(cell.name, cell) is not cell:
        raise ValueError(f"there is a cell {cell.name!r} already: give yours another name")
    cell._enter(cell.name)
    return cell


def find(name: str) -> Cell:
    """A cell by its name.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in _by_key:
        raise ValueError(f"cell must be a Cell or one of {', '.join(names())}, got {name!r}")
    return _by_key[name]


def by_key(key: str) -> Cell:
    """A cell by what operators call it."""
    cell = _by_key.get(key)
    if cell is None:
        name = key.partition("/")[0]
        raise RuntimeError(
            f"the cell {name!r} of this program is not known here: import the module that makes "
            "it, and register() it there before the program is exported"
        )
    return cell


def names() -> list[str]:
    """The names of the registered cells."""
    return [key for key in _by_key if "/" not in key]


def for_each_cell(prepare: Callable[[Cell], None]) -> None:
    """Calls a function with every cell there is, and with each new one as it is made.

    Operators are registered so, before any graph is captured.
    """
    _prepare.append(prepare)
    for cell in dict.fromkeys(_by_key.values()):
        prepare(cell)


def recurrent(weights: Weights, operand: Tensor, modifiers: Modifiers) -> Tensor:
    """``weight_hh @ operand + bias_hh``, the product normalized where the modifiers say so."""
    gain = modifiers.norm_hh
    if gain is None:
        return linear(operand, weights.weight_hh, weights.bias_hh)
    normal = layer_norm(linear(operand, weights.weight_hh), gain.shape, gain)
    return normal if weights.bias_hh is None else normal + weights.bias_hh
