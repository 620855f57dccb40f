"""What a model predicts at each draw of its parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def predict(model: nn.Module, draws: Tensor, *inputs: Any) -> Tensor:
    """The posterior predictive: a model's output at each draw of :func:`sample`.

    Args:
        model: The model whose parameters were sampled, all of them and in their order. It stays as
            it is.
        draws: ``(draws, parameters)``, or ``(chains, draws, parameters)``.
        inputs: What the model takes. It returns a tensor.

    Returns:
        The outputs, ``(draws, ...)`` or ``(chains, draws, ...)``. Their mean over the draws is the
        predictive mean.

    Raises:
        ValueError: A draw has another number of parameters than the model.

    Example:
        >>> model = torch.nn.Linear(3, 1)
        >>> sampler = LMC(model.parameters(), lr=0.01)
        >>> x, y = torch.randn(50, 3), torch.randn(50, 1)
        >>> draws = sample(sampler, lambda: (model(x) - y).square().sum() / 2, 100, burn_in=50)
        >>> predict(model, draws, x).mean(0).shape
        torch.Size([50, 1])
    """
    named = dict(model.named_parameters())
    sizes = [p.numel() for p in named.values()]
    if draws.dim() < 2 or draws.shape[-1] != sum(sizes):
        raise ValueError(
            f"draws must be (draws, {sum(sizes)}), the parameters of {type(model).__name__}, or "
            f"(chains, draws, {sum(sizes)}), got {list(draws.shape)}"
        )
    outputs: list[Tensor] = []
    with torch.no_grad():
        for draw in draws.reshape(-1, draws.shape[-1]):
            parts = zip(named.items(), draw.split(sizes), strict=True)
            values = {name: part.view_as(p).to(p) for (name, p), part in parts}
            values |= {name: buffer.clone() for name, buffer in model.named_buffers()}
            outputs.append(torch.func.functional_call(model, values, inputs))
    found: Tensor = torch.stack(outputs).unflatten(0, draws.shape[:-1])
    return found
