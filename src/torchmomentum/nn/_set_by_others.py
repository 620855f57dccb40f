"""What other programs set on a module to change it, and what a layer with momentum answers.

They know the layers of ``torch.nn`` by their types, and would leave ours as they are without a
word, or fail far away.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn


class AnswersOthers(nn.Module):
    """A module that says which treatment it cannot have."""

    @property
    def qconfig(self) -> Any:
        """Absent: PyTorch's quantization, which sets it, leaves the module in floating point."""
        raise AttributeError("qconfig")

    @qconfig.setter
    def qconfig(self, value: Any) -> None:
        if value is None:
            return  # it was asked to quantize other modules
        warnings.warn(
            f"{type(self).__name__} stays in floating point: PyTorch's quantization has no kernel "
            "for a recurrence with momentum. torchmomentum.nn.to_torch(model) makes layers of "
            "torch.nn, without momentum, which it has one for",
            stacklevel=2,
        )

    @qconfig.deleter
    def qconfig(self) -> None:
        pass  # it was never kept

    @property
    def ft_compute_sample_grad(self) -> Any:
        """Absent: Opacus sets it on modules that it has no sampler for."""
        raise AttributeError("ft_compute_sample_grad")

    @ft_compute_sample_grad.setter
    def ft_compute_sample_grad(self, value: Any) -> None:
        raise NotImplementedError(
            f"Opacus has no gradients of samples for {type(self).__name__}: register some as "
            "examples/private_training.py does, by torch.func"
        )
