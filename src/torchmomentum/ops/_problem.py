"""The one bundle of arguments that travels from a layer to a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import Expected, check_tensors
from torchmomentum._torch_private import may_need_gradients
from torchmomentum._tuples import changed
from torchmomentum.ops._modifiers import (
    CONSTANT_SCHEMA,
    PLAIN,
    TENSOR_SCHEMA,
    TENSORS,
    Modifiers,
)
from torchmomentum.ops.cells import Cell, State, Weights, by_key
from torchmomentum.ops.cells._cell import NO_EXTRA


class Moments(NamedTuple):
    """The Adam rule on the pre-activations: its state and parameters.

    Attributes:
        velocity: The momentum, ``(B, G H)``.
        rms: The root of the second moment, ``(B, G H)``.
        mu: Momentum, a number or a scalar tensor that is learned.
        gain: What the drive is scaled by, likewise.
        beta: How much of the second moment is kept each step.
        eps: What is added to the root.
    """

    velocity: Tensor
    rms: Tensor
    mu: float | Tensor
    gain: float | Tensor
    beta: float
    eps: float
    learned: bool = False  # of an operator's arguments, where the scalars are tensors anyway


class Velocity(NamedTuple):
    """A rule that is a velocity and nothing else: ``v' = mu v + gain d``.

    Attributes:
        velocity: ``(B, N)`` for drives of N channels.
        mu: Momentum, a number or a scalar tensor.
        gain: What the drive is scaled by, likewise.
    """

    velocity: Tensor
    mu: float | Tensor
    gain: float | Tensor


class Problem(NamedTuple):
    """One recurrent layer in one direction: what there is to compute.

    Attributes:
        cell: The cell.
        x: The input, ``(T, B, I)``, or the pre-activations, ``(T, B, G H)``, without ``weight_ih``.
        state: The cell's states, each ``(B, H)``; ``h`` is ``(B, P)`` with a projection.
        weight_hh: ``(G H, H)``, or ``(G H, P)``.
        weight_ih: ``(G H, I)``, or None.
        bias_ih: ``(G H,)``, or None.
        bias_hh: ``(G H,)``, or None.
        extra: The cell's further weights by name.
        lengths: How many steps of each sequence count, ``(B,)``; the state stays as it is after
            them. None for all.
        modifiers: What changes the plain recurrence.
        moments: The Adam rule, which the pre-activations ``W x_t + b_ih`` go through, or None.
        velocity: A constant momentum that ``[x_t; 1]`` goes through before
            ``[weight_ih, bias_ih]`` reads it, of a velocity ``(B, I + 1)``, or None. It is for
            float32 on a CPU, without lengths and moments, where no gradient of the input or of
            anything of it is asked.
        batch_sizes: Of packed input, where ``x`` is its padded form and ``lengths`` decrease: how
            many sequences are alive at each step, on the CPU.
        train: Whether a gradient may be asked for, as far as the forward can see. An operator fills
            in this and the two below.
        input_grad: Whether the input needs a gradient.
        bfloat16_products: Whether products are in bfloat16, of what is in float32 otherwise.
    """

    cell: Cell
    x: Tensor
    state: State
    weight_hh: Tensor
    weight_ih: Tensor | None = None
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    extra: Mapping[str, Tensor] = NO_EXTRA
    lengths: Tensor | None = None
    modifiers: Modifiers = PLAIN
    moments: Moments | None = None
    velocity: Velocity | None = None
    batch_sizes: Tensor | None = None
    train: bool = False
    input_grad: bool = False
    bfloat16_products: bool = False

    def weights(self) -> Weights:
        """The recurrent weights, as a cell's step takes them."""
        return Weights(self.weight_hh, self.bias_hh, self.extra)

    def affine_weights(self) -> tuple[Tensor, Tensor]:
        """``weight_ih`` and ``bias_ih``, which a velocity needs.

        Raises:
            ValueError: There is one of them or none.
        """
        if self.weight_ih is None or self.bias_ih is None:
            raise ValueError("a velocity of the input needs weight_ih and bias_ih")
        return self.weight_ih, self.bias_ih

    def is_projected(self) -> bool:
        """Whether ``h`` is projected."""
        return self.cell.projection is not None and self.cell.projection in self.extra

    def to(self, dtype: torch.dtype) -> Problem:
        """The same with all tensors of floating point but the moments in one type."""
        return changed(
            self,
            x=self.x.to(dtype),
            state=tuple([s.to(dtype) for s in self.state]),
            weight_hh=self.weight_hh.to(dtype),
            weight_ih=None if self.weight_ih is None else self.weight_ih.to(dtype),
            bias_ih=None if self.bias_ih is None else self.bias_ih.to(dtype),
            bias_hh=None if self.bias_hh is None else self.bias_hh.to(dtype),
            extra={name: w.to(dtype) for name, w in self.extra.items()},
            modifiers=self.modifiers.to(dtype),
        )

    def exact(self) -> Problem:
        """The same with lengths and numbers of exactly the types that operators take."""
        lengths = None if self.lengths is None else self.lengths.long()
        return changed(self, lengths=lengths, modifiers=self.modifiers.exact())

    def check_devices(self) -> None:
        """Checks that all is where the input is: a kernel would read memory that is not there.

        Raises:
            RuntimeError: A weight or a state is elsewhere.
        """
        here = self.x.device
        biases = self.bias_ih, self.bias_hh
        for t in (self.weight_hh, self.weight_ih, *biases, *self.state, *self.extra.values()):
            if t is not None and t.device != here:
                raise RuntimeError(
                    "Input and parameter tensors are not at the same device, found input tensor at "
                    f"{here} and parameter tensor at {t.device}"
                )

    def check(self) -> None:
        """Checks all shapes and types: kernels check nothing.

        Raises:
            ValueError: No step, no feature, or a number of states or weights, or a shape, that
                does not fit.
            TypeError: A tensor of another type.
        """
        cell, (time, batch, inputs) = self.cell, self.x.shape
        rows, width = self.weight_hh.shape
        if time == 0:
            raise ValueError("the input must have at least one step, got 0")
        if inputs == 0:
            raise ValueError("the input must have at least one feature, got 0")
        if len(self.state) != len(cell.states):
            raise ValueError(f"{cell.name} has {len(cell.states)} state(s), got {len(self.state)}")
        size = rows // cell.gates
        h = width if self.is_projected() else size
        expected: list[Expected] = [
            ("weight_hh", self.weight_hh, (cell.gates * size, h), None),
            ("weight_ih", self.weight_ih, (rows, inputs), None),
            ("pre", self.x if self.weight_ih is None else None, (time, batch, rows), None),
            ("bias_ih", self.bias_ih, (rows,), None),
            ("bias_hh", self.bias_hh, (rows,), None),
            ("state", self.state[0], (batch, h), None),
            ("lengths", self.lengths, (batch,), torch.int64),
        ]
        for state in self.state[1:]:
            expected.append(("state", state, (batch, size), None))
        if cell.extra or self.extra:
            expected += self._expected_extra(h, size)
        if not self.modifiers.is_plain():
            self._check_modifiers()
            expected += self.modifiers.expected(time, batch, h, size, rows)
        if self.moments is not None:
            for moment in (self.moments.velocity, self.moments.rms):
                expected.append(("moments", moment, (batch, rows), None))
        if self.velocity is not None:
            expected.append(("velocity", self.velocity.velocity, (batch, inputs + 1), None))
        check_tensors(expected, self.x.dtype)

    def _check_modifiers(self) -> None:
        """Rejects modifiers that the cell's step would leave out."""
        cell, modifiers = self.cell, self.modifiers
        for name in ("norm_hh", "norm_c", "norm_c_bias"):
            if getattr(modifiers, name) is not None and name not in cell.norms:
                raise ValueError(f"the cell {cell.name} does not apply the modifier {name}")

    def _expected_extra(self, h: int, size: int) -> list[Expected]:
        known = {extra.name: extra for extra in self.cell.extra}
        for name in self.extra:
            if name not in known:
                raise ValueError(f"{self.cell.name} has no weight {name!r}")
        for name, extra in known.items():
            if extra.required and name not in self.extra:
                raise ValueError(f"{self.cell.name} needs its weight {name!r}")
        return [(name, w, known[name].shape(h, size), None) for name, w in self.extra.items()]

    # --- an operator's arguments --------------------------------------------------------------

    def flat(self, *, bfloat16_products: bool = False) -> list[Any]:
        """The arguments of an operator with this problem's :class:`Layout`.

        Whether the forward and its input may need a gradient is seen here.
        """
        modifiers, moments = self.modifiers, self.moments
        biases = self.bias_ih, self.bias_hh
        given: list[Any] = [self.x, *self.state, self.weight_ih, self.weight_hh, *biases]
        for extra in self.cell.extra:
            given.append(self.extra.get(extra.name))
        # torch.compile cannot cut a named tuple before torch 2.9, but a list
        rest = [*modifiers]
        given += [self.lengths, *rest[:TENSORS]]
        beta = eps = mu = gain = 0.0
        learned = train = False
        if moments is not None:
            given += [moments.velocity, moments.rms, moments.mu, moments.gain]
            beta, eps, learned = moments.beta, moments.eps, moments.learned
        if self.velocity is not None:
            given.append(self.velocity.velocity)
            mu, gain = float(self.velocity.mu), float(self.velocity.gain)
        if may_need_gradients():
            for x in given:
                if isinstance(x, Tensor) and x.requires_grad:
                    train = True
        flags = (train, self.x.requires_grad, bfloat16_products)
        return [*given, self.cell.key, *flags, beta, eps, learned, mu, gain, *rest[TENSORS:]]


_CONSTANTS = (
    "str cell, bool train, bool input_grad, bool bfloat16_products, "
    "float beta, float eps, bool learned, float input_mu, float input_gain, " + CONSTANT_SCHEMA
)
_COUNT = len(_CONSTANTS.split(","))


class Layout(NamedTuple):
    """How the arguments of an operator are laid out."""

    states: int
    extras: int
    moments: bool = False
    velocity: bool = False

    @classmethod
    def of(cls, cell: Cell, moments: bool = False, velocity: bool = False) -> Layout:
        """The layout for a cell."""
        return cls(len(cell.states), len(cell.extra), moments, velocity)

    @property
    def outputs(self) -> int:
        """How many differentiable results there are."""
        return 1 + self.states + 2 * self.moments + self.velocity

    @property
    def name(self) -> str:
        """What tells the operators of this layout from others."""
        rule = "_moments" if self.moments else "_velocity" if self.velocity else ""
        return f"{self.states}_{self.extras}{rule}"

    @property
    def arguments(self) -> str:
        """The schema of the tensors."""
        return (
            "Tensor x, "
            + "".join(f"Tensor state_{i}, " for i in range(self.states))
            + "Tensor? weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "
            + "".join(f"Tensor? extra_{i}, " for i in range(self.extras))
            + f"Tensor? lengths, {TENSOR_SCHEMA}"
            + (", Tensor velocity, Tensor rms, Tensor mu, Tensor gain" if self.moments else "")
            + (", Tensor velocity" if self.velocity else "")
        )

    @property
    def constants(self) -> str:
        """The schema of the rest."""
        return _CONSTANTS

    def problem(self, args: Sequence[Any]) -> Problem:
        """The problem that :meth:`Problem.flat` made these arguments of."""
        states = 1 + self.states
        extras = states + 4 + self.extras
        begin = extras + 1 + TENSORS
        weight_ih, weight_hh, bias_ih, bias_hh = args[states : states + 4]
        constants = args[len(args) - _COUNT :]
        key, train, input_grad, bfloat16_products, beta, eps, learned, *more = constants
        input_mu, input_gain, *numbers = more
        cell, extra, moments, velocity = by_key(key), NO_EXTRA, None, None
        if self.extras:
            names = [e.name for e in cell.extra]
            pairs = zip(names, args[states + 4 : extras], strict=True)
            extra = {name: w for name, w in pairs if w is not None}
        if self.moments:
            v, rms, mu, gain = args[begin : begin + 4]
            moments = Moments(v, rms, mu, gain, beta, eps, learned)
        if self.velocity:
            velocity = Velocity(args[begin], input_mu, input_gain)
        return Problem(
            cell,
            args[0],
            tuple(args[1:states]),
            weight_hh,
            weight_ih,
            bias_ih,
            bias_hh,
            extra,
            args[extras],
            Modifiers(*args[extras + 1 : begin], *numbers),
            moments,
            velocity,
            train=train,
            input_grad=input_grad,
            bfloat16_products=bfloat16_products,
        )


def empty_outputs(problem: Problem) -> State:
    """Outputs and last state, empty: their shapes."""
    x = problem.x
    out = x.new_empty(*x.shape[:-1], problem.state[0].shape[-1])
    return out, *[s.new_empty(s.shape) for s in problem.state]
