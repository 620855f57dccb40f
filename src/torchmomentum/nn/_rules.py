"""Momentum rules: what turns a sequence of drives into what a recurrent cell reads.

A rule knows of no cell. Where it is linear it commutes with the cell's affine input map, so a layer
runs it on the input and leaves the rest to PyTorch's own kernels; otherwise it runs on the
pre-activations ``W x_t + b``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchmomentum.ops import Modifiers, Moments, adam_scan, largest_drive, linear_scan, steps_alive
from torchmomentum.schedules import nesterov_momentum

RuleState = tuple[Tensor, ...]

_LARGEST_LEARNED_MU = 1 - 2.0**-20  # a sigmoid alone would round to 1
LARGEST_STEP_SIZE = 1e6  # so that no gradient overflows; the papers' are at most 2


class MomentumState(NamedTuple):
    """The velocity ``v``, ``(B, N)``."""

    velocity: Tensor


class NesterovState(NamedTuple):
    """The velocity ``v``, ``(B, N)``, and the number of steps done, ``(B,)``."""

    velocity: Tensor
    step: Tensor


class LookaheadState(NamedTuple):
    """The last drive, behind it the ``h`` before the last, ``(B, N + H)``; the steps, ``(B,)``."""

    previous: Tensor
    step: Tensor


class AdamState(NamedTuple):
    """The velocity ``v`` and the root ``r`` of the second moment ``m``, each ``(B, N)``."""

    velocity: Tensor
    rms: Tensor


def _check(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    inside = low < value < high if open_low else low <= value < high
    if not inside:
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} must be in {bracket}{low:g}, {high:g}), got {value}")
    return float(value)


def bounded(drive: Tensor, gain: float = 1.0) -> Tensor:
    """Bounds a drive so that ``gain`` times it is at most the root of the largest finite number."""
    bound = largest_drive(drive, gain)
    return drive.clamp(-bound, bound)


def _compute(drives: Tensor) -> Tensor:
    """Half precision is filtered in float32: a velocity sums many small terms."""
    return drives.to(torch.promote_types(drives.dtype, torch.float32))


def last_step(values: Tensor, lengths: Tensor | None) -> Tensor:
    """The value at each sequence's last step: of ``(T, B, N)`` with ``lengths`` ``(B,)``."""
    if lengths is None:
        return values[-1].clone()  # a view would keep the whole sequence alive
    return values[lengths - 1, torch.arange(values.shape[1], device=values.device)]


class Rule(nn.Module):
    """A momentum rule: give a subclass :meth:`initial_state` and :meth:`step`, and use it anywhere.

    Attributes:
        linear: Whether the rule is linear in its drive. A linear rule commutes with the input map,
            so that a layer may run it on ``[x_t; 1]`` instead of ``W x_t + b``.
    """

    linear: bool = False
    # a batch and a width, and what a state for them is made of
    _expected: tuple[tuple[int, int] | None, str, list[tuple[int, ...]]] = (None, "", [])

    @abstractmethod
    def initial_state(
        self,
        batch_size: int,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> RuleState:
        """The state before the first step, tensors with the batch as their first dimension."""

    @abstractmethod
    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, RuleState]:
        """One step, the definition of the rule.

        Args:
            drive: ``(B, N)``.
            state: As :meth:`initial_state` makes it.

        Returns:
            What the cell reads, ``(B, N)``, and the next state.
        """

    def moments(self, state: RuleState) -> Moments | None:
        """What a kernel needs that fuses the rule with a recurrence; None where none does.

        Args:
            state: The state to go on from.
        """
        return None

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RuleState]:
        """All the steps of a sequence. Here one :meth:`step` after the other; rules override it.

        Args:
            drives: ``(T, B, N)``.
            state: The state to go on from; None starts anew.
            lengths: How many steps of each sequence count, ``(B,)``; None means all.

        Returns:
            What the cell reads, ``(T, B, N)``, and the state after each sequence's last step.
        """
        wide = _compute(drives)
        if state is None:
            state = self.fresh_state(drives)
        outputs: list[Tensor] = []
        for t in range(drives.shape[0]):
            y, new = self.step(wide[t], state)
            if lengths is not None:
                new = _keep_ended(t < lengths, new, state)
            state = new
            outputs.append(y)
        return torch.stack(outputs).to(drives.dtype), state

    def fresh_state(self, drives: Tensor) -> RuleState:
        """:meth:`initial_state` for ``drives`` ``(T, B, N)``; in float32 where they are shorter."""
        dtype = torch.promote_types(drives.dtype, torch.float32)
        return self.initial_state(*drives.shape[1:], device=drives.device, dtype=dtype)

    def check_state(self, state: RuleState, batch_size: int, width: int, name: str) -> None:
        """Holds a state that a caller passed to the structure of :meth:`initial_state`.

        Raises:
            TypeError: It is not made of as many tensors.
            RuntimeError: One of them has another size.
        """
        if self._expected[0] != (batch_size, width):  # a stream asks the same at each step
            like = self.initial_state(batch_size, width, device="meta")
            shapes = [tuple(part.shape) for part in like]
            self._expected = (batch_size, width), type(like).__name__, shapes
        _, kind, expected = self._expected
        if not isinstance(state, (tuple, list)) or len(state) != len(expected):
            raise TypeError(
                f"{name} must be {len(expected)} tensor(s), {kind}, got {type(state).__name__}"
            )
        for found, wanted in zip(state, expected, strict=True):
            if tuple(found.shape) != wanted:
                raise RuntimeError(f"Expected {name} size {wanted}, got {list(found.shape)}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Keeps its own values where a state dict has none: one of the torch namesake."""
        if any(key.startswith(prefix) for key in state_dict):
            super()._load_from_state_dict(state_dict, prefix, *args)

    def reset_parameters(self) -> None:
        """Sets learned hyperparameters back to the values given at construction."""


def _keep_ended(alive: Tensor, new: RuleState, old: RuleState) -> RuleState:
    kept = (
        torch.where(alive.view(-1, *[1] * (a.dim() - 1)), a, b)
        for a, b in zip(new, old, strict=True)
    )
    return type(new)(*kept) if hasattr(new, "_fields") else tuple(kept)


class _Scaled(Rule):
    """What the papers' rules share: a step size, a momentum, either of which may be learned."""

    def __init__(self, mu: float, step_size: float, learnable: bool) -> None:
        super().__init__()
        self._initial_mu = _check("mu", mu, 0.0, 1.0)
        self._initial_step_size = _check(
            "step_size", step_size, 0.0, LARGEST_STEP_SIZE, open_low=True
        )
        if not isinstance(learnable, bool):
            raise TypeError(f"learnable must be a bool, got {type(learnable).__name__}")
        self.learnable = learnable
        if learnable:
            self.log_step_size = nn.Parameter(torch.empty(()))
            if self._learns_mu:
                if self._initial_mu == 0.0:
                    raise ValueError("mu must be in (0, 1) where it is learned, got 0.0")
                self.logit_mu = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    _learns_mu = True

    def reset_parameters(self) -> None:
        if not self.learnable:
            return
        with torch.no_grad():
            self.log_step_size.fill_(math.log(self._initial_step_size))
            if self._learns_mu:
                odds = self._initial_mu / (1 - self._initial_mu)
                self.logit_mu.fill_(math.log(odds))

    @property
    def step_size(self) -> float | Tensor:
        """The step size :math:`s`: a number, or where it is learned a positive scalar tensor."""
        return self.log_step_size.exp() if self.learnable else self._initial_step_size

    @property
    def mu(self) -> float | Tensor:
        r"""The momentum :math:`\mu`: a number, or where it is learned a scalar tensor in (0, 1)."""
        if self.learnable and self._learns_mu:
            logit = self.logit_mu.to(torch.promote_types(self.logit_mu.dtype, torch.float32))
            return torch.sigmoid(logit).clamp(max=_LARGEST_LEARNED_MU)
        return self._initial_mu

    def _gain(self, drive: Tensor) -> tuple[Tensor, float]:
        """The bounded drive and the number that still scales it; a learned one has scaled it."""
        step_size = self.step_size
        if isinstance(step_size, Tensor):
            return bounded(drive * step_size.to(drive.dtype)), 1.0
        # the product is bounded: no sum of it overflows
        return bounded(drive, step_size), step_size

    def _scaled(self, drive: Tensor) -> Tensor:
        bounded, gain = self._gain(drive)
        return bounded if gain == 1.0 else bounded * gain

    def _filter(
        self, drives: Tensor, decay: Tensor | float, velocity: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        bounded, gain = self._gain(drives)
        values = linear_scan(bounded, decay, velocity, gain=gain)
        return values, last_step(values, lengths)

    def _constant_decay(self, drives: Tensor) -> Tensor | float:
        mu = self.mu
        if isinstance(mu, Tensor):
            return mu.to(drives.dtype).expand(drives.shape[0], 1, 1)
        return mu

    def extra_repr(self) -> str:
        """The hyperparameters as :func:`repr` shows them."""
        shown = {"mu": self._initial_mu, "step_size": self._initial_step_size}
        return ", ".join(f"{k}={v:g}" for k, v in shown.items()) + (
            ", learnable=True" if self.learnable else ""
        )


class Momentum(_Scaled):
    r"""Constant momentum, equation (9) of the MomentumRNN paper.

    .. math:: v_t = \mu v_{t-1} + s\, d_t, \qquad y_t = v_t, \qquad v_0 = 0

    With ``mu=0, step_size=1`` it changes nothing. Its gain for a constant drive is
    :math:`s / (1 - \mu)`.

    Args:
        mu: Momentum :math:`\mu` in [0, 1); in (0, 1) where it is learned.
        step_size: Step size :math:`s`, positive and below a million.
        learnable: Trains both, kept in their ranges by a sigmoid and an exponential. One rule given
            to several layers is shared by them.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> rule = Momentum(0.5, 1.0)
        >>> y, state = rule.scan(torch.ones(3, 1, 1))
        >>> y.flatten().tolist(), state.velocity.item()
        ([1.0, 1.5, 1.75], 1.75)
    """

    linear = True

    def __init__(self, mu: float = 0.6, step_size: float = 1.0, *, learnable: bool = False) -> None:
        super().__init__(mu, step_size, learnable)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> MomentumState:
        """A velocity of zero, ``(B, N)``."""
        return MomentumState(torch.zeros(batch_size, width, **options))

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, MomentumState]:
        """Equation (9)."""
        bounded, gain = self._gain(drive)
        velocity = self.mu * state[0]
        velocity = torch.add(velocity, bounded, alpha=gain)
        return velocity, MomentumState(velocity)

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MomentumState]:
        """See :meth:`Rule.scan`."""
        wide = _compute(drives)
        (velocity,) = self.fresh_state(drives) if state is None else state
        values, last = self._filter(wide, self._constant_decay(wide), velocity, lengths)
        return values.to(drives.dtype), MomentumState(last)


class Nesterov(_Scaled):
    r"""Nesterov's growing momentum with an optional scheduled restart, section 2.4 of the paper.

    .. math:: v_t = \mu_t v_{t-1} + s\, d_t, \qquad y_t = v_t, \qquad
              \mu_t = \frac{(t-1) \bmod F}{((t-1) \bmod F) + 3}

    The paper prints :math:`t \bmod F`; counting from the step before makes the momentum zero at the
    first step and exactly at each restart, and equals its :math:`(t-1)/(t+2)` without restart. This
    is the paper's form of the SRLSTM; the released code's is another recurrence (see the
    documentation's list of disagreements).

    Args:
        step_size: Step size :math:`s`, positive and below a million.
        restart: Steps between restarts :math:`F`, at least 1; None never restarts.
        learnable: Trains the step size, kept positive by an exponential.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> y, _ = Nesterov(1.0, restart=2).scan(torch.ones(4, 1, 1))
        >>> y.flatten().tolist()
        [1.0, 1.25, 1.0, 1.25]
    """

    linear = True
    _learns_mu = False

    def __init__(
        self, step_size: float = 1.0, restart: int | None = None, *, learnable: bool = False
    ) -> None:
        if restart is not None and (isinstance(restart, bool) or not isinstance(restart, int)):
            raise TypeError(f"restart must be an int or None, got {type(restart).__name__}")
        if restart is not None and restart < 1:
            raise ValueError(f"restart must be at least 1 step, got {restart}")
        super().__init__(0.0, step_size, learnable)
        self.restart = restart

    def initial_state(self, batch_size: int, width: int, **options: Any) -> NesterovState:
        """A velocity of zero, ``(B, N)``, and a count of zero steps, ``(B,)``."""
        velocity = torch.zeros(batch_size, width, **options)
        return NesterovState(
            velocity, torch.zeros(batch_size, dtype=torch.long, device=velocity.device)
        )

    def _coefficient(self, step: Tensor, dtype: torch.dtype) -> Tensor:
        exact = nesterov_momentum(step.to(torch.float64), self.restart)
        return torch.as_tensor(exact).to(dtype)

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, NesterovState]:
        """Section 2.4."""
        velocity, step = state
        mu = self._coefficient(step, velocity.dtype).unsqueeze(-1)
        velocity = mu * velocity + self._scaled(drive)
        return velocity, NesterovState(velocity, step + 1)

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, NesterovState]:
        """See :meth:`Rule.scan`."""
        time, wide = drives.shape[0], _compute(drives)
        steps = torch.arange(time, device=drives.device).unsqueeze(-1)  # (T, 1)
        if state is None:  # one count for the whole batch: the filter is then a matrix product
            velocity, count = self.fresh_state(drives)
        else:
            velocity, count = state
            steps = steps + count  # (T, B)
        decay = self._coefficient(steps, wide.dtype).unsqueeze(-1)
        values, last = self._filter(wide, decay, velocity, lengths)
        done = time if lengths is None else lengths
        return values.to(drives.dtype), NesterovState(last, count + done)

    def extra_repr(self) -> str:
        """The hyperparameters as :func:`repr` shows them."""
        learned = ", learnable=True" if self.learnable else ""
        return f"step_size={self._initial_step_size:g}, restart={self.restart}{learned}"


class NesterovLookahead(Nesterov):
    r"""Nesterov's momentum on the whole pre-activation: the SRLSTM of the released code.

    .. math:: p_t = U h_{t-1} + b_{hh} - s\, d_t, \qquad
              \text{gates}_t = p_t + \mu_t (p_t - p_{t-1})

    with :math:`\mu_t` as :class:`Nesterov` has it, zero at the first step and at each restart. The
    paper prints another recurrence (section 2.4), which is :class:`Nesterov`. Being linear, the
    momentum goes to what the weights read: one product with
    :math:`h_{t-1} + \mu_t (h_{t-1} - h_{t-2})` instead of two, and the same of the input. The
    minus sign is the released code's.

    Args:
        step_size: Step size :math:`s`, positive and below a million.
        restart: Steps between restarts :math:`F`, at least 1; None never restarts.
        learnable: Trains the step size, kept positive by an exponential.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> y, _ = NesterovLookahead(1.0, restart=2).scan(torch.tensor([1.0, 2, 4]).view(3, 1, 1))
        >>> y.flatten().tolist()  # the input's part: -(d_t + mu_t (d_t - d_{t-1}))
        [-1.0, -2.25, -4.0]
    """

    def initial_state(self, batch_size: int, width: int, **options: Any) -> LookaheadState:  # type: ignore[override]
        """Zeros, ``(B, N)`` with ``h`` counted in, and a count of zero steps, ``(B,)``."""
        return LookaheadState(*super().initial_state(batch_size, width, **options))

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, LookaheadState]:  # type: ignore[override]
        """The input's part of the released recurrence."""
        y, new = self.scan(drive.unsqueeze(0), state)
        return y.squeeze(0), new

    def scan(  # type: ignore[override]
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, LookaheadState]:
        """See :meth:`Rule.scan`; of the input's part."""
        time, wide = drives.shape[0], _compute(drives)
        previous, count = self.fresh_state(drives) if state is None else state
        steps = torch.arange(time, device=drives.device).unsqueeze(-1) + count
        mu = self._coefficient(steps, wide.dtype).unsqueeze(-1)
        scaled, gain = self._gain(wide)
        # one more and then one less: a length of T - 1 would be a case of its own in an export
        before = torch.cat([self._gain(previous)[0].unsqueeze(0), scaled])[:-1]
        y = -gain * torch.lerp(before, scaled, 1 + mu)
        done = time if lengths is None else lengths
        return y.to(drives.dtype), LookaheadState(last_step(wide, lengths), count + done)

    def separate(self, state: RuleState, width: int) -> tuple[LookaheadState, Modifiers]:
        """A whole state as that of the drives, so many wide, and what the recurrence does."""
        previous, step = state
        options = Modifiers(
            steps=step, previous=previous[:, width:].contiguous(), restart=self.restart or 0
        )
        return LookaheadState(previous[:, :width], step), options

    def join(self, state: LookaheadState, before: Tensor) -> LookaheadState:
        """The whole state again: that of the drives and the ``h`` before the last, ``(B, H)``."""
        previous = torch.cat([state.previous, before.to(state.previous.dtype)], 1)
        return state._replace(previous=previous)


class Adam(_Scaled):
    r"""Adam's pair of moments, equation (15) of the MomentumRNN paper.

    .. math:: v_t = \mu v_{t-1} + s\, d_t, \qquad m_t = \beta m_{t-1} + (1-\beta)\, d_t^2, \qquad
              y_t = \frac{v_t}{\sqrt{m_t} + \epsilon}, \qquad v_0 = m_0 = 0

    There is no bias correction, as in the paper. The epsilon stands where the paper has it; the
    released code has :math:`\sqrt{m_t + 10^{-16}}`.

    In the papers' form a silent drive makes :math:`y` grow like :math:`(\mu/\sqrt\beta)^k` and its
    gradient become NaN. Here the root :math:`r_t = \sqrt{m_t}` is carried, whose derivatives are
    bounded (:func:`torchmomentum.ops.adam_scan`), and :math:`y` is bounded by 10,000, where every
    gate has long been saturated. An Elman network with ReLU is the one cell that can see this
    bound.

    Args:
        mu: Momentum :math:`\mu` in [0, 1); in (0, 1) where it is learned.
        step_size: Step size :math:`s`, positive and below a million.
        beta: How much of the second moment is kept each step, in [0, 1).
        eps: What is added to the root, at least 1e-16: its inverse bounds the gradient.
        learnable: Trains ``mu`` and ``step_size``, see :class:`Momentum`.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> y, _ = Adam(mu=0.0, step_size=1.0, beta=0.75).scan(torch.tensor([[[2.0]]]))
        >>> round(y.item(), 6)  # s / sqrt(1 - beta) at the first step, whatever the drive
        2.0
    """

    def __init__(
        self,
        mu: float = 0.6,
        step_size: float = 1.0,
        beta: float = 0.99,
        eps: float = 1e-8,
        *,
        learnable: bool = False,
    ) -> None:
        super().__init__(mu, step_size, learnable)
        self.beta = _check("beta", beta, 0.0, 1.0)
        self.eps = _check("eps", eps, 1e-16, math.inf)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> AdamState:
        """Two zeros, each ``(B, N)``."""
        zero = torch.zeros(batch_size, width, **options)
        return AdamState(zero, zero.clone())

    def moments(self, state: RuleState) -> Moments | None:
        """See :meth:`Rule.moments`; None for a subclass that is another rule."""
        if type(self).step is not Adam.step or type(self).scan is not Adam.scan:
            return None
        velocity, rms = state
        return Moments(velocity, rms, self.mu, self.step_size, self.beta, self.eps)

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, AdamState]:
        """Equation (15)."""
        y, new = self.scan(drive.unsqueeze(0), state)
        return y.squeeze(0), new

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, AdamState]:
        """See :meth:`Rule.scan`."""
        wide = _compute(drives)
        velocity, rms = self.fresh_state(drives) if state is None else state
        mask = None if lengths is None else steps_alive(len(drives), lengths)
        y, velocity, rms = adam_scan(
            wide,
            velocity,
            rms,
            mu=self.mu,
            gain=self.step_size,
            beta=self.beta,
            eps=self.eps,
            mask=mask,
        )
        return y.to(drives.dtype), AdamState(velocity, rms)

    def extra_repr(self) -> str:
        """The hyperparameters as :func:`repr` shows them."""
        return f"{super().extra_repr()}, beta={self.beta:g}, eps={self.eps:g}"


class RMSProp(Adam):
    r"""RMSProp: :class:`Adam` with :math:`\mu = 0`, after equation (15) of the MomentumRNN paper.

    .. math:: m_t = \beta m_{t-1} + (1-\beta)\, d_t^2, \qquad
              y_t = \frac{s\, d_t}{\sqrt{m_t} + \epsilon}

    Args:
        step_size: Step size :math:`s`, positive and below a million.
        beta: How much of the second moment is kept each step, in [0, 1).
        eps: What is added to the root, at least 1e-16.
        learnable: Trains the step size, kept positive by an exponential.

    Raises:
        ValueError: A hyperparameter is out of its range or not finite.
        TypeError: A hyperparameter is not a number.

    Example:
        >>> RMSProp(step_size=0.6, beta=0.9)
        RMSProp(step_size=0.6, beta=0.9, eps=1e-08)
    """

    _learns_mu = False

    def __init__(
        self,
        step_size: float = 1.0,
        beta: float = 0.9,
        eps: float = 1e-8,
        *,
        learnable: bool = False,
    ) -> None:
        super().__init__(0.0, step_size, beta, eps, learnable=learnable)

    def extra_repr(self) -> str:
        """The hyperparameters as :func:`repr` shows them."""
        return super().extra_repr().removeprefix("mu=0, ")
