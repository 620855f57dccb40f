"""Tones in noise, where speech is not at hand: made on the spot, the same each time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from torchmomentum.experiments.data.audio import HOP, RATE, WINDOW, log_magnitudes
from torchmomentum.experiments.data.batches import generator

_TONES = -6  # a kind of draws, apart from all seeds
_SHORTEST, _LONGEST = 20, 40  # frames


def load_tones(counts: Mapping[str, int]) -> dict[str, list[Tensor]]:
    """Log-magnitudes ``(T, 129)`` of 20 to 40 frames, so many for each set.

    Example:
        >>> [len(each) for each in load_tones({"train": 3, "test": 2}).values()]
        [3, 2]
    """
    found: dict[str, list[Tensor]] = {}
    for part, (name, count) in enumerate(counts.items()):
        drawn = generator(_TONES, part)
        found[name] = []
        for _ in range(count):
            frames = int(torch.randint(_SHORTEST, _LONGEST + 1, (), generator=drawn))
            time = torch.arange(WINDOW + (frames - 1) * HOP) / RATE
            pitch, depth = torch.rand(2, generator=drawn).tolist()
            phase = 2 * math.pi * (200 + 1500 * pitch) * time
            wave = torch.sin(phase + 20 * depth * torch.sin(10 * time)) / 4
            noise = torch.randn(len(time), generator=drawn) / 100
            found[name].append(log_magnitudes(wave + noise))
    return found
