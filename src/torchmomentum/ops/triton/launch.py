"""Launches the recurrences' Triton kernels.

A leading dimension is an ensemble: all members' tensors have it, and all train in one launch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.triton.device import interpreted, on_device
from torchmomentum.ops.triton.plan import chosen

# the cells that have kernels, by their key, as these number them
CELLS = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU", "RNN_MODRELU")


def _precision() -> str:
    """As ``nn.LSTM`` multiplies float32 on the same device."""
    if interpreted():
        return "wide"
    try:
        return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    except RuntimeError:  # it was set for recurrences and convolutions apart
        recurrent: Any = torch.backends.cudnn
        return "ieee" if recurrent.rnn.fp32_precision == "ieee" else "tf32"


def from_step(x: Tensor | None, first: int) -> Tensor | None:
    """A sequence from a step on, the members being first."""
    return None if x is None else x[:, first:]


def _bytes(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)


class Launch:
    """What both directions of a recurrence need, with the members first."""

    def __init__(self, given: Problem) -> None:
        self.given, self.alone = given, given.x.dim() == 3
        self.pre = self.members(given.x)
        self.weight = self.members(given.weight_hh).to(self.pre.dtype)
        self.count, self.time, self.batch, _ = self.pre.shape
        self.hidden = self.weight.shape[-1]
        self.area = (self.count, self.time, self.batch, self.hidden)
        itemsize = self.pre.element_size()
        self.cut = chosen(given.cell.key, self.batch, self.hidden, itemsize)
        modifiers = given.modifiers
        self.mu: Tensor | None = None
        if modifiers.steps is not None:
            one = modifiers._replace(steps=self.members(modifiers.steps).flatten())
            mu = one.momenta(self.time, torch.float32)
            if mu is not None:
                mu = mu.view(self.time, self.count, self.batch).transpose(0, 1)
                behind = mu.new_zeros(self.count, 2, self.batch)
                self.mu = torch.cat([mu, behind], 1).contiguous()
        self.grid = (
            -(-self.hidden // self.cut.block_n),
            -(-self.batch // self.cut.block_b),
            self.count,
        )
        programs = self.grid[0] * self.grid[1] * self.grid[2]
        self.meets = self.grid[0] > 1 and self._all_at_once(programs)
        # whether one launch goes through all of time
        self.together = self.cut.single or self.meets
        masks = modifiers.keep_mask, modifiers.zoneout_h, modifiers.zoneout_c
        self.masks = [_bytes(self.maybe(mask)) for mask in masks]

    def _all_at_once(self, programs: int) -> bool:
        if self.pre.device.type != "cuda":
            return False
        limit: int = torch.cuda.get_device_properties(self.pre.device).multi_processor_count
        return programs <= limit

    def members(self, x: Tensor) -> Tensor:
        """With the members first, contiguous."""
        return (x.unsqueeze(0) if self.alone else x).contiguous()

    def maybe(self, x: Tensor | None) -> Tensor | None:
        """The same of what may be absent."""
        return None if x is None else self.members(x)

    def without(self, x: Tensor) -> Tensor:
        """As the caller has it: without members where there are none."""
        return x.squeeze(0) if self.alone else x

    def pieces(self) -> list[tuple[int, int]]:
        """The first step and the count of each launch: all of them, or one where none may wait."""
        if self.together:
            return [(0, self.time)]
        return [(t, 1) for t in range(self.time)]

    def run(self, kernel: Any, *args: Any, **constants: Any) -> None:
        """Launches a kernel over the grid."""
        extra: dict[str, Any] = {"num_warps": self.cut.warps}
        if self.meets:
            extra["launch_cooperative_grid"] = True
        with on_device(self.pre):
            kernel[self.grid](
                *args,
                hidden=self.hidden,
                MODE=CELLS.index(self.given.cell.key),
                GATES=self.given.cell.gates,
                SINGLE=self.cut.single,
                STATIONARY=self.cut.stationary,
                WAIT=self.meets,
                ZONES=self.given.modifiers.has_zoneout(),
                BLOCK_B=self.cut.block_b,
                BLOCK_N=self.cut.block_n,
                BLOCK_K=self.cut.block_k,
                PRECISION=_precision(),
                **constants,
                **extra,
            )

    def tail(self, first: int, steps: int) -> list[Any]:
        """What the arguments of both kernels end with: modifiers, where to meet, sizes."""
        m, (kept, zone_h, zone_c) = self.given.modifiers, self.masks
        mu, zone_h, zone_c = (from_step(x, first) for x in (self.mu, zone_h, zone_c))
        counters = None
        if self.meets:  # of the programs of the same rows, at zero
            counters = self.pre.new_zeros(self.count, self.grid[1], dtype=torch.int32)
        modified = [mu, kept, m.keep_scale, zone_h, m.rate_h, zone_c, m.rate_c]
        return [*modified, counters, first, steps, self.time, self.batch]

    def first_operand(self) -> Tensor:
        """What the first product reads."""
        m = self.given.modifiers
        m = m._replace(keep_mask=self.maybe(m.keep_mask), previous=self.maybe(m.previous))
        mu = None if self.mu is None else self.mu[:, 0].unsqueeze(-1)
        h = self.members(self.given.state[0]).float()
        return m.operand(h, None if m.previous is None else m.previous.float(), mu)
