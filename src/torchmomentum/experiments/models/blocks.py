"""Cells without recurrent weights in blocks, as cells of the sequence models.

Alone, such a cell cannot put together what it read at different steps: its gates, where it has any,
read one input. In a stack of blocks those of a later one read what an earlier one remembers.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import gelu, glu

import torchmomentum.nn as tnn
from torchmomentum._checks import check_integer, check_number
from torchmomentum.experiments.models.sequence import CellKind, one_group

_RECURRENT = ("nu_log", "theta_log", "gamma_log")  # LRU's decays and what normalizes their drives


class _Blocks(nn.Module):
    """A linear layer to the width, then blocks: a norm, a recurrent layer, a linear layer, a skip.

    Args:
        input_size: Features of the input.
        hidden_size: The width.
        depth: How many blocks.
        unit: Makes a recurrent layer that reads the width, with ``momentum=``.
        momentum: A rule, of which each block has a copy, or None.
        closing: Makes the linear layer behind it.
        dropout: Probability of zeroing what a block adds.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        depth: int,
        unit: Callable[..., nn.Module],
        momentum: tnn.Rule | None,
        closing: Callable[[], nn.Module],
        dropout: float,
    ) -> None:
        check_integer("depth", depth, 1)
        super().__init__()
        self.hidden_size = hidden_size
        self.encoder = nn.Linear(input_size, hidden_size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(depth))
        self.units = nn.ModuleList(unit(momentum=copy.deepcopy(momentum)) for _ in range(depth))
        self.closings = nn.ModuleList(closing() for _ in range(depth))
        self.dropout = nn.Dropout(dropout)

    def closed(self, made: Tensor, closing: nn.Module) -> Tensor:
        """What a block adds, of what its recurrent layer made."""
        found: Tensor = closing(made)
        return found

    def forward(self, x: Tensor, *, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        """``(T, B, I)`` to ``(T, B, H)``; there is no state to go on from."""
        x = self.encoder(x)
        for norm, unit, closing in zip(self.norms, self.units, self.closings, strict=True):
            x = x + self.dropout(self.closed(unit(norm(x), lengths=lengths)[0], closing))
        return x, None


class LRUStack(_Blocks):
    """Linear recurrent units in blocks that a gate closes (Orvieto et al., 2023).

    Args:
        input_size: Features of the input.
        hidden_size: The width.
        momentum: A rule in each unit, or None.
        depth: How many blocks.
        r_min: See :class:`~torchmomentum.nn.LRU`.
        r_max: Likewise.
        dropout: Probability of zeroing what a block adds, and what its gate reads.
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
        ring: dict[str, Any] = {"r_min": r_min, "r_max": r_max}
        unit = partial(tnn.LRU, hidden_size, hidden_size, **ring)
        closing = partial(nn.Linear, hidden_size, 2 * hidden_size)
        super().__init__(input_size, hidden_size, depth, unit, momentum, closing, dropout)

    def closed(self, made: Tensor, closing: nn.Module) -> Tensor:
        """The gated linear unit of what was made."""
        return glu(closing(self.dropout(gelu(made))))


class MinGRUStack(_Blocks):
    """Minimal gated recurrent units in blocks that a linear layer closes (Feng et al., 2024).

    Args:
        input_size: Features of the input.
        hidden_size: The width.
        momentum: A rule in each unit, or None.
        depth: How many blocks.
        expansion: Units of a block for each of the width.
        dropout: Probability of zeroing what a block adds.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        momentum: tnn.Rule | None = None,
        *,
        depth: int = 3,
        expansion: int = 2,
        dropout: float = 0.0,
    ) -> None:
        check_integer("expansion", expansion, 1)
        units = expansion * hidden_size
        unit = partial(tnn.MinGRU, hidden_size, units)
        closing = partial(nn.Linear, units, hidden_size)
        super().__init__(input_size, hidden_size, depth, unit, momentum, closing, dropout)


def _options(stack: type[_Blocks]) -> dict[str, Any]:
    """What a stack takes by keyword, with the defaults."""
    given = inspect.signature(stack).parameters.values()
    return {each.name: each.default for each in given if each.kind is each.KEYWORD_ONLY}


def _chosen(names: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in names}


def _lru_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    if options["recurrent_lr"] is not None:
        check_number("recurrent_lr", options["recurrent_lr"], 0.0, math.inf, open_low=True)
    return _chosen(_LRU, options)


def _lru_groups(options: Mapping[str, Any], model: nn.Module) -> list[dict[str, Any]]:
    """All parameters; or those of the decays at a rate of their own, without weight decay."""
    lr = options["recurrent_lr"]
    if lr is None:
        return one_group(options, model)
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for name, parameter in model.named_parameters():
        groups[name.rpartition(".")[2].startswith(_RECURRENT)].append(parameter)
    others, own = groups
    return [{"params": others}, {"params": own, "lr": lr, "weight_decay": 0.0}]


_LRU, _MINGRU = _options(LRUStack), _options(MinGRUStack)
LRU = CellKind(LRUStack, LRUStack, {**_LRU, "recurrent_lr": None}, _lru_settings, _lru_groups)
MINGRU = CellKind(MinGRUStack, MinGRUStack, _MINGRU, partial(_chosen, _MINGRU))
