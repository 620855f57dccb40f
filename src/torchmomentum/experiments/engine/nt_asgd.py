"""Gradient descent that begins to average once validation no longer improves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from torchmomentum._checks import check_integer


class NTASGD(torch.optim.SGD):
    """SGD, and once it is triggered the mean of its iterates: what is evaluated then.

    The trigger is the non-monotonic one of Merity, Keskar and Socher (arXiv:1708.02182): the
    validation loss is above the least of all but the last ``patience`` before it.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        weight_decay: Added to the gradient, times the parameter.
        patience: Evaluations that may pass without improvement.
    """

    def __init__(
        self, params: Any, lr: float, weight_decay: float = 0.0, patience: int = 5
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        check_integer("patience", patience, 0)
        self.patience = patience
        self.param_groups[0]["losses"] = []  # here, so that a state dict has them
        self.param_groups[0]["averaged"] = None  # steps in the mean; None before the trigger

    def observe(self, loss: float) -> None:
        """Told of each validation loss."""
        first = self.param_groups[0]
        before = first["losses"][: max(0, len(first["losses"]) - self.patience)]
        if first["averaged"] is None and before and loss > min(before):
            first["averaged"] = 0
        first["losses"].append(loss)

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def step(self, closure: Any = None) -> Any:
        """See ``torch.optim.SGD``."""
        loss = super().step(closure)
        first = self.param_groups[0]
        if first["averaged"] is not None:
            first["averaged"] += 1
            with torch.no_grad():
                for p in self._parameters():
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                    mean.lerp_(p, 1 / first["averaged"])
        return loss

    @contextmanager
    @torch.no_grad()
    def averaged(self) -> Iterator[None]:
        """Has the means in the parameters' place, where there are any."""
        means = [(p, self.state[p]["mean"]) for p in self._parameters() if "mean" in self.state[p]]
        held = [p.clone() for p, _ in means]
        for p, mean in means:
            p.copy_(mean)
        try:
            yield
        finally:
            for (p, _), value in zip(means, held, strict=True):
                p.copy_(value)
