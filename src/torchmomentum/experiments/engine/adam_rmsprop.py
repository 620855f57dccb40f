"""Adam and RMSProp together: how the MomentumRNN paper trains orthogonal networks on TIMIT."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class AdamRMSprop(torch.optim.Optimizer):
    """Adam for the first group of parameters, RMSProp for the others (Table 6, "Orthogonal").

    Args:
        params: Groups, as a model's ``parameter_groups()`` gives them.
        lr: The learning rate of groups that have none.
        alpha: RMSProp's smoothing constant.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, alpha: float = 0.99) -> None:
        super().__init__(params, {"lr": lr})
        first, *others = self.param_groups
        made: list[torch.optim.Optimizer] = [torch.optim.Adam([first], lr)]
        if others:
            made.append(torch.optim.RMSprop(others, lr, alpha))
        self.both = made
        self.param_groups = [group for each in made for group in each.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step of both; see ``torch.optim.Optimizer``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self.both:
            each.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Those of both."""
        return {"both": [each.state_dict() for each in self.both]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See :meth:`state_dict`."""
        for each, held in zip(self.both, state_dict["both"], strict=True):
            each.load_state_dict(held)
        self.param_groups = [group for each in self.both for group in each.param_groups]
