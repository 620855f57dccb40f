"""A problem for optimizers, and the ways to take a step."""

import torch

WAYS = {"each": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def problem():
    scale = torch.linspace(0.1, 1.0, 6, dtype=torch.float64)
    start = torch.arange(6, dtype=torch.float64) - 2.0

    def gradient(w):
        return scale * w + w.cos()

    return start, gradient
