"""Linear recurrent units in blocks, as a cell of the sequence models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import gelu, glu

import torchmomentum.nn as tnn
from torchmomentum._checks import check_integer
from torchmomentum.experiments.models.sequence import CellKind

OPTIONS: dict[str, Any] = {"depth": 2, "r_min": 0.9, "r_max": 0.999, "dropout": 0.0}


class LRUStack(nn.Module):
    """Blocks around linear recurrent units: normalized, recurred, gated, added (Orvieto et al.).

    Args:
        input_size: Features of the input, which a linear layer brings to the width.
        hidden_size: The width.
        momentum: A rule in each unit, or None.
        depth: How many blocks.
        r_min: See :class:`~torchmomentum.nn.LRU`.
        r_max: Likewise.
        dropout: Probability of zeroing what a block adds.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        momentum: tnn.Rule | None = None,
        *,
        depth: int = 2,
        r_min: float = 0.9,
        r_max: float = 0.999,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.encoder = nn.Linear(input_size, hidden_size)
        ring: dict[str, Any] = {"r_min": r_min, "r_max": r_max}
        size = hidden_size, hidden_size
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(depth))
        self.units = nn.ModuleList(tnn.LRU(*size, momentum=momentum, **ring) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(hidden_size, 2 * hidden_size) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        """``(T, B, I)`` to ``(T, B, H)``; there is no state to go on from."""
        x = self.encoder(x)
        for norm, unit, gate in zip(self.norms, self.units, self.gates, strict=True):
            made = gelu(unit(norm(x), lengths=lengths)[0])
            x = x + self.dropout(glu(gate(self.dropout(made))))
        return x, None


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    check_integer("depth", options["depth"], 1)
    return {name: options[name] for name in OPTIONS}


LRU = CellKind(LRUStack, LRUStack, OPTIONS, _settings)
