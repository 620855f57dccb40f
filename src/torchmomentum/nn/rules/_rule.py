"""The base class of every momentum rule, and the hooks by which a rule says what it needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_choice
from torchmomentum.ops import PLAIN, Modifiers, Moments, Velocity, last_alive

SPACES = ("gates", "hidden")
RuleState: TypeAlias = "tuple[Tensor, ...]"


def in_float32(drives: Tensor) -> Tensor:
    """Half precision in float32: a velocity sums many small terms."""
    if drives.dtype in (torch.float32, torch.float64):
        return drives
    return drives.to(torch.promote_types(drives.dtype, torch.float32))


def last_step(values: Tensor, lengths: Tensor | None) -> Tensor:
    """The values ``(T, B, N)`` at each sequence's last step, for lengths ``(B,)``."""
    if lengths is None:
        return values[-1].clone()  # a view would keep the whole sequence alive
    return last_alive(values, lengths)


def with_parts(state: RuleState, parts: Iterable[Tensor]) -> RuleState:
    """A state of the same type as another, of other tensors."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _keep_ended(alive: Tensor, new: RuleState, old: RuleState) -> RuleState:
    """The new state of the sequences that still run, the old one of those that have ended."""
    kept = (
        torch.where(alive.view(-1, *[1] * (a.dim() - 1)), a, b)
        for a, b in zip(new, old, strict=True)
    )
    return with_parts(new, kept)


def _one_step_of(scan: Callable[..., tuple[Tensor, RuleState]]) -> Any:
    """A step that is a sequence of length one."""

    def step(self: Rule, drive: Tensor, state: RuleState) -> tuple[Tensor, RuleState]:
        y, new = scan(self, drive.unsqueeze(0), state)
        return y.squeeze(0), new

    return step


class Rule(nn.Module):
    """A momentum rule: what turns a sequence of drives into what a recurrent cell reads.

    Give a subclass :meth:`initial_state` and :meth:`step`, and it works in every layer and cell.
    Everything else is optional:

    - :meth:`scan`, where a whole sequence can be computed faster than step by step.
    - ``linear = True``, where the rule is linear in its drive. It then commutes with the cell's
      affine input map, and a layer runs it on ``[x_t; 1]`` instead of ``W x_t + b``, which is
      narrower.
    - :meth:`moments` and :meth:`from_moments`, where a kernel fuses the rule with a recurrence,
      and :meth:`velocity`, where kernels compute a plain velocity.
    - ``reads_hidden = True`` with :meth:`cell_state`, :meth:`modifiers` and :meth:`follow`, where
      the rule changes what the recurrent weights read.

    A subclass that changes :meth:`step` or :meth:`scan` is another rule. It inherits neither the
    kernel nor ``linear``, and where it changes one of the two alone, the other is made of it. One
    that changes :meth:`fresh_state` does not inherit the kernel either.

    Attributes:
        linear: Whether the rule is linear in its drive, without a constant term.
        reads_hidden: Whether the rule's state holds a hidden state of the cell.
        space: ``"gates"``, where the cell adds what the rule makes to its gates, or ``"hidden"``,
            where each gate's recurrent weights are applied to it first (Remark 1 of the paper).
    """

    linear: bool = False
    reads_hidden: bool = False
    space: str = SPACES[0]
    # the sizes asked for last, and a state for them on the meta device
    _expected: tuple[tuple[int, ...], RuleState] = ((), ())
    _held = False  # whether a layer has it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        depth = {
            name: next(i for i, base in enumerate(cls.__mro__) if name in vars(base))
            for name in ("step", "scan", "fresh_state", "linear", "moments", "velocity")
        }
        if depth["step"] < depth["scan"]:
            cls.scan = Rule.scan  # type: ignore[method-assign]
        elif depth["scan"] < depth["step"]:
            cls.step = _one_step_of(cls.scan)  # type: ignore[method-assign]
        changed = min(depth["step"], depth["scan"])
        if changed < depth["linear"]:
            cls.linear = False
        changed = min(changed, depth["fresh_state"])
        for name in ("moments", "velocity"):  # what kernels compute of the rule as it was
            if changed < depth[name]:
                setattr(cls, name, getattr(Rule, name))

    @abstractmethod
    def initial_state(
        self,
        batch_size: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> RuleState:
        """The state before the first step: tensors whose first dimension is the batch.

        Args:
            batch_size: Sequences, :math:`B`.
            width: Channels of the drive, :math:`N`.
            device: Where the tensors are made.
            dtype: Their type.
        """

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, RuleState]:
        """One step: the definition of the rule.

        Args:
            drive: ``(B, N)``.
            state: As :meth:`initial_state` makes it.

        Returns:
            What the cell reads, ``(B, N)``, and the next state.
        """
        raise NotImplementedError  # not abstract to a type checker: a scan alone makes it

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RuleState]:
        """All steps of a sequence. The base class calls :meth:`step` for each.

        Args:
            drives: ``(T, B, N)``.
            state: The state to go on from; None starts anew.
            lengths: How many steps of each sequence count, ``(B,)``; None means all.

        Returns:
            What the cell reads, ``(T, B, N)``, and the state after each sequence's last step.
        """
        wide = in_float32(drives)
        if state is None:
            state = self.fresh_state(wide)
        outputs: list[Tensor] = []
        for t in range(drives.shape[0]):
            y, new = self.step(wide[t], state)
            if lengths is not None:
                new = _keep_ended(t < lengths, new, state)
            state = new
            outputs.append(y)
        return torch.stack(outputs).to(drives.dtype), state

    def beside(self, weight: Tensor) -> Rule:
        """The rule itself, on the device of a weight of the layer that is to hold it.

        Raises:
            ValueError: Another layer holds it, on another device.
        """
        elsewhere = [p.device for p in self.parameters() if p.device != weight.device]
        if elsewhere and self._held:
            raise ValueError(
                f"this {type(self).__name__} is another layer's, on {elsewhere[0]}, and this layer "
                f"is on {weight.device}: give it a copy.deepcopy of the rule"
            )
        self._held = True
        return self.to(device=weight.device)

    def __getstate__(self) -> dict[str, Any]:
        """A copy is nobody's."""
        return {k: v for k, v in self.__dict__.items() if k != "_held"}

    def cell_state(
        self, batch_size: int, width: int, hidden_size: int, **options: Any
    ) -> RuleState:
        """:meth:`initial_state` in a cell with so many hidden units; options are the same."""
        return self.initial_state(batch_size, width, **options)

    def modifiers(self, state: RuleState) -> Modifiers:
        """With ``reads_hidden``: how the rule changes the recurrence, from its state on."""
        return PLAIN

    def follow(self, state: RuleState, hidden: Tensor) -> RuleState:
        """With ``reads_hidden``: the state after a sequence, with the hidden state it needs.

        Args:
            state: What :meth:`scan` returned.
            hidden: The cell's ``h`` before the last step, ``(B, H)``.
        """
        return state

    def moments(self, state: RuleState) -> Moments | None:
        """The rule's state and numbers for a kernel that fuses it with the recurrence.

        Args:
            state: The state to go on from.

        Returns:
            Those of Adam's rule, or None where no kernel computes this rule.
        """
        return None

    def velocity(self, state: RuleState) -> Velocity | None:
        """The rule's state and numbers for kernels that compute a plain velocity.

        They are that of one step, and that of a layer's input and bias where no gradient of the
        rule is asked for.

        Args:
            state: The state to go on from.

        Returns:
            Those of ``v' = mu v + gain d``, where that is all there is to the state and what the
            cell reads; None for another rule.
        """
        return None

    def from_moments(self, velocity: Tensor, rms: Tensor) -> RuleState:
        """The rule's state, from what the kernel of :meth:`moments` returns."""
        return velocity, rms

    def fresh_state(self, drives: Tensor) -> RuleState:
        """:meth:`initial_state` for drives ``(T, B, N)``, in float32 or float64."""
        dtype = torch.promote_types(drives.dtype, torch.float32)
        return self.initial_state(*drives.shape[1:], device=drives.device, dtype=dtype)

    def check_state(
        self, state: Tensor | RuleState, batch_size: int, width: int, hidden_size: int, name: str
    ) -> RuleState:
        """A state as a caller passed it, in the type of :meth:`cell_state`.

        A lone tensor stands for a state of one.

        Raises:
            TypeError: It has another number of tensors.
            RuntimeError: One of them has another size.
        """
        sizes = batch_size, width, hidden_size
        known = self._expected  # another thread may ask for other sizes meanwhile
        if known[0] != sizes:  # a stream asks the same at each step
            known = self._expected = sizes, self.cell_state(*sizes, device="meta")
        expected = known[1]
        parts = (state,) if isinstance(state, Tensor) else state
        if not isinstance(parts, (tuple, list)) or len(parts) != len(expected):
            raise TypeError(
                f"{name} must be {len(expected)} tensor(s), {type(expected).__name__}, got "
                f"{type(state).__name__}"
            )
        for found, wanted in zip(parts, expected, strict=True):
            if found.shape != wanted.shape:
                size = tuple(wanted.shape)
                raise RuntimeError(f"Expected {name} size {size}, got {list(found.shape)}")
        return parts if type(parts) is type(expected) else with_parts(expected, parts)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Keeps its own values where a state dict has none, as that of the torch namesake."""
        if any(key.startswith(prefix) for key in state_dict):
            super()._load_from_state_dict(state_dict, prefix, *args)

    def described(self) -> str:
        """The rule and its hyperparameters that are not learned: what a state dict tells of it."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def reset_parameters(self) -> None:
        """Sets learned hyperparameters back to the values given at construction."""


def check_space(rule: Rule | None, proj_size: int = 0) -> None:
    """Checks that a layer can have a rule in its space.

    Raises:
        ValueError: In hidden space there is no projection, and no lookahead.
    """
    if rule is None:
        return
    check_choice("space", rule.space, SPACES)
    if rule.space == "gates":
        return
    if rule.reads_hidden:
        raise ValueError(f"space must be 'gates' for {type(rule).__name__}, got 'hidden'")
    if proj_size:
        raise ValueError(f"proj_size must be 0 for a rule with space='hidden', got {proj_size}")


def checked_rule(rule: Any, *, optional: bool) -> Any:
    """The argument ``momentum`` of a layer or a cell.

    Raises:
        TypeError: It is not a rule, or lacks a step or an initial state.
    """
    if isinstance(rule, Rule):
        for name in ("initial_state", "step"):
            if getattr(type(rule), name) is getattr(Rule, name):
                raise TypeError(f"the rule {type(rule).__name__} must have a method {name}")
        return rule
    if optional and rule is None:
        return rule
    expected = "a rule such as torchmomentum.nn.Momentum(0.6, 0.6)" + " or None" * optional
    found = type(rule).__name__
    if isinstance(rule, type):
        found = f"the class {rule.__name__}: pass an instance, {rule.__name__}(...)"
    raise TypeError(f"momentum must be {expected}, got {found}")
