"""What may change a plain recurrence: lookahead, recurrent dropout, zoneout, normalization."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchmomentum._checks import Expected
from torchmomentum._tuples import changed
from torchmomentum.schedules import nesterov_momentum


class Modifiers(NamedTuple):
    r"""What changes a plain recurrence, each part off by default.

    With :math:`\tilde h_{t-1}` in place of :math:`h_{t-1}` in the product with ``weight_hh``,

    .. math::
        \tilde h_{t-1} = \frac{k_t}{1-p}\,\bigl(h_{t-1} + \mu_t (h_{t-1} - h_{t-2})\bigr), \qquad
        h_t = z_t h_{t-1} + (1 - z_t)\, \text{cell}(\tilde h_{t-1}, \dots)

    and :math:`c_t` likewise. The lookahead is the released code's SRLSTM, :math:`k` the recurrent
    dropout of Gal and Ghahramani (2016), :math:`z` the zoneout of Krueger et al. (2017), and the
    normalization that of Ba et al. (2016), equations (20) to (22), without its redundant shifts.

    Attributes:
        steps: With lookahead, how many steps were done before the first, int64 ``(B,)``: they give
            :math:`\mu_t`, see :func:`~torchmomentum.schedules.nesterov_momentum`.
        previous: With lookahead, :math:`h_{-1}`, ``(B, H)``.
        keep_mask: Of recurrent dropout, :math:`k`: where ``weight_hh`` sees :math:`h`, bool
            ``(B, H)``, the same at each step.
        zoneout_h: Where :math:`h` stays as it is, bool ``(T, B, H)``.
        zoneout_c: Where :math:`c` stays as it is, bool ``(T, B, H)``; nothing of a cell without it.
        norm_hh: Normalizes what ``weight_hh`` makes over all gates, with these gains ``(G H,)``.
        norm_c: Normalizes :math:`c` where :math:`h` is made of it, with these gains ``(H,)``.
        norm_c_bias: What is added to it then, ``(H,)``.
        restart: With lookahead, the steps between restarts; 0 for none.
        keep_scale: What a kept :math:`h` is scaled by, :math:`1 / (1 - p)`.
        rate_h: Without ``zoneout_h``, how much of :math:`h` stays, in [0, 1]: zoneout's mean.
        rate_c: The same of :math:`c`.
    """

    steps: Tensor | None = None
    previous: Tensor | None = None
    keep_mask: Tensor | None = None
    zoneout_h: Tensor | None = None
    zoneout_c: Tensor | None = None
    norm_hh: Tensor | None = None
    norm_c: Tensor | None = None
    norm_c_bias: Tensor | None = None
    restart: int = 0
    keep_scale: float = 1.0
    rate_h: float = 0.0
    rate_c: float = 0.0

    def is_plain(self) -> bool:
        """Whether nothing is changed."""
        return (
            self.steps is None
            and self.keep_mask is None
            and self.zoneout_h is None
            and self.zoneout_c is None
            and self.norm_hh is None
            and self.norm_c is None
            and self.norm_c_bias is None
            and not (self.rate_h or self.rate_c)
        )

    def normalizes(self) -> bool:
        """Whether the cell normalizes."""
        return self.norm_hh is not None or self.norm_c is not None

    def changes_operand(self) -> bool:
        """Whether ``weight_hh`` reads something else than :math:`h`."""
        return self.steps is not None or self.keep_mask is not None

    def has_zoneout(self) -> bool:
        """Whether parts of the state stay."""
        masks = self.zoneout_h is not None or self.zoneout_c is not None
        return masks or bool(self.rate_h or self.rate_c)

    def exact(self) -> Modifiers:
        """The same with numbers and counts of exactly the types that operators take."""
        if self.is_plain():
            return self
        return changed(
            self,
            steps=None if self.steps is None else self.steps.long(),
            restart=int(self.restart),
            keep_scale=float(self.keep_scale),
            rate_h=float(self.rate_h),
            rate_c=float(self.rate_c),
        )

    def expected(self, time: int, batch: int, h: int, c: int, rows: int) -> list[Expected]:
        """The shapes that its tensors must have, from the widths of both states and the gates."""
        return [
            ("steps", self.steps, (batch,), torch.int64),
            ("previous", self.previous, (batch, h), None),
            ("keep_mask", self.keep_mask, (batch, h), torch.bool),
            ("zoneout_h", self.zoneout_h, (time, batch, h), torch.bool),
            ("zoneout_c", self.zoneout_c, (time, batch, c), torch.bool),
            ("norm_hh", self.norm_hh, (rows,), None),
            ("norm_c", self.norm_c, (c,), None),
            ("norm_c_bias", self.norm_c_bias, (c,), None),
        ]

    def to(self, dtype: torch.dtype) -> Modifiers:
        """The same with its tensors of floating point in another type."""
        if self.is_plain():
            return self
        found: list[Any] = []
        for x in self:
            if isinstance(x, Tensor) and x.is_floating_point():
                x = x.to(dtype)
            found.append(x)
        return Modifiers(*found)

    def momenta(self, time: int, dtype: torch.dtype) -> Tensor | None:
        r"""All :math:`\mu_t`, ``(T, B, 1)``; None without lookahead."""
        if self.steps is None:
            return None
        done = torch.arange(time, device=self.steps.device).unsqueeze(1) + self.steps
        done = done.clamp(min=0)  # a count that is none would divide by zero
        exact: Any = nesterov_momentum(done.to(torch.float64), self.restart or None)
        made: Tensor = exact.to(dtype).unsqueeze(-1)
        return made

    def seen(self, change: Tensor) -> Tensor:
        """What recurrent dropout leaves of ``(..., B, H)``; its own adjoint."""
        return change if self.keep_mask is None else change * self.keep_mask * self.keep_scale

    def operand(self, h: Tensor, before: Tensor | None, mu: Tensor | None) -> Tensor:
        """What ``weight_hh`` reads: of one step's ``(B, H)`` or of several."""
        if mu is not None and before is not None:
            h = torch.lerp(before, h, 1 + mu)
        return self.seen(h)

    def zoned(
        self,
        new: tuple[Tensor, ...],
        old: tuple[Tensor, ...],
        zoneout_h: Tensor | None = None,
        zoneout_c: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The states of a step where parts of the old ones stay.

        Args:
            new: What the cell made, each ``(B, H)``.
            old: What it made it of.
            zoneout_h: What :attr:`zoneout_h` is at this step.
            zoneout_c: Likewise.
        """
        zones = (zoneout_h, self.rate_h), (zoneout_c, self.rate_c)
        kept = list(new)  # states after the second have no zoneout
        for i, (mask, rate) in enumerate(zones[: len(new)]):
            if mask is not None:
                kept[i] = torch.where(mask, old[i], new[i])
            elif rate:
                kept[i] = new[i] + rate * (old[i] - new[i])
        return tuple(kept)


TENSORS = Modifiers._fields.index("restart")
TENSOR_SCHEMA = ", ".join(f"Tensor? {name}" for name in Modifiers._fields[:TENSORS])
CONSTANT_SCHEMA = "int restart, float keep_scale, float rate_h, float rate_c"
PLAIN = Modifiers()
