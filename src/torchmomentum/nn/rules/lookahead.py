"""Nesterov's momentum on the whole pre-activation, as in the released code."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum.nn.rules._rule import RuleState, in_float32, last_step
from torchmomentum.nn.rules.nesterov import ScheduledRule
from torchmomentum.ops import Modifiers


class LookaheadState(NamedTuple):
    """The last drive, ``(B, N)``, the steps done, ``(B,)``, the ``h`` before the last, ``(B, H)``.

    Without a cell there is no ``h``: its width is then zero.
    """

    drive: Tensor
    step: Tensor
    hidden: Tensor


class NesterovLookahead(ScheduledRule):
    r"""Nesterov's momentum on the whole pre-activation: the SRLSTM of the released code.

    .. math:: p_t = U h_{t-1} + b_{hh} - s\, d_t, \qquad
              \text{gates}_t = p_t + \mu_t (p_t - p_{t-1})

    with :math:`\mu_t` as :class:`Nesterov` has it, zero at the first step and at each restart. The
    paper prints another recurrence (section 2.4), which is :class:`Nesterov`. The minus sign is the
    released code's. Because :math:`p` is linear, the momentum is applied to what the weights read:
    one product with :math:`h_{t-1} + \mu_t (h_{t-1} - h_{t-2})`, and the same of the input.

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

    linear = True
    reads_hidden = True

    def __init__(
        self, step_size: float = 1.0, restart: int | None = None, *, learnable: bool = False
    ) -> None:
        super().__init__(step_size, restart, learnable)

    def initial_state(self, batch_size: int, width: int, **options: Any) -> LookaheadState:
        """:meth:`cell_state` without a cell."""
        return self.cell_state(batch_size, width, 0, **options)

    def cell_state(
        self, batch_size: int, width: int, hidden_size: int, **options: Any
    ) -> LookaheadState:
        """Zeros, ``(B, N)`` and ``(B, H)``, and a count of zero steps, ``(B,)``."""
        drive, hidden = (torch.zeros(batch_size, n, **options) for n in (width, hidden_size))
        step = torch.zeros(batch_size, dtype=torch.long, device=drive.device)
        return LookaheadState(drive, step, hidden)

    def scan(
        self, drives: Tensor, state: RuleState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, LookaheadState]:
        """The input's part. See :meth:`Rule.scan`; :meth:`follow` adds the cell's."""
        time, wide = drives.shape[0], in_float32(drives)
        last, count, hidden = self.fresh_state(wide) if state is None else state
        steps = torch.arange(time, device=drives.device).unsqueeze(-1) + count  # (T, B)
        mu = self._coefficient(steps, wide.dtype).unsqueeze(-1)  # (T, B, 1)
        scaled, gain = self._bounded(wide)
        # both from T + 1 drives: a length of T - 1 is a case of its own in an export, and Inductor
        # (torch 2.13) writes y over ``scaled`` while it reads what was joined with it
        joined = torch.cat([self._bounded(last)[0].unsqueeze(0), scaled])
        y = -gain * torch.lerp(joined[:-1], joined[1:], 1 + mu)
        done = time if lengths is None else lengths
        return y.to(drives.dtype), LookaheadState(last_step(wide, lengths), count + done, hidden)

    def modifiers(self, state: RuleState) -> Modifiers:
        """The recurrent weights read the hidden state ahead of the last."""
        _, step, hidden = state
        return Modifiers(steps=step, previous=hidden, restart=self.restart or 0)

    def follow(self, state: RuleState, hidden: Tensor) -> LookaheadState:
        """Keeps the ``h`` before the last step, ``(B, H)``, to look ahead from."""
        drive, step, before = state
        return LookaheadState(drive, step, hidden.to(before.dtype))
