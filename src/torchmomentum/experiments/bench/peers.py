"""What other packages offer for the same work; those that are installed join a benchmark."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.ops import scan

Make = Callable[..., nn.Module]


class ScannedLSTM(nn.Module):
    """An LSTM whose recurrence runs on one backend; ``loop`` is one without kernels."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        device: Any = None,
        dtype: Any = None,
        *,
        backend: str,
    ) -> None:
        super().__init__()
        self.weights = nn.LSTM(input_size, hidden_size, device=device, dtype=dtype)
        self.backend = backend

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """``(T, B, I)`` to the outputs and the last state."""
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights.parameters()
        drive = nn.functional.linear(x, weight_ih, bias_ih)
        zero = x.new_zeros(x.shape[1], weight_hh.shape[1])
        recurrent = (weight_hh, bias_hh)
        out, *state = scan("LSTM", drive, (zero, zero), recurrent, backend=self.backend)
        return out, tuple(state)


class FlashRNN(nn.Module):
    """FlashRNN's LSTM of one head, with the input product that it leaves to its caller."""

    def __init__(self, input_size: int, hidden_size: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self._run = importlib.import_module("flashrnn").flashrnn
        options = {"device": device, "dtype": dtype}
        self.input = nn.Linear(input_size, 4 * hidden_size, bias=False, **options)
        bound = hidden_size**-0.5
        weight = torch.empty(4, 1, hidden_size, hidden_size, **options).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(4, 1, hidden_size, **options))

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """``(T, B, I)`` to the outputs and the last state."""
        drive = self.input(x).unflatten(-1, (4, 1, -1)).transpose(0, 1)
        out, last = self._run(drive, self.weight, self.bias, function="lstm")
        return out[0].squeeze(2).transpose(0, 1), last


class PublishedSRSGD(torch.optim.Optimizer):
    """The update that was published, tensor by tensor in Python as its code has it.

    A counter k from 1 to F of the whole optimizer, the last descent point kept beside each tensor,
    weight decay added to the gradient in place.
    """

    def __init__(
        self, params: Any, lr: float, restart_every: int = 40, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "every": restart_every, "decay": weight_decay})
        self.count = 1

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Takes one step."""
        momentum = (self.count - 1) / (self.count + 2)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if group["decay"]:
                    p.grad.add_(p, alpha=group["decay"])
                state = self.state[p]
                last = state["last"] if "last" in state else p.clone()
                point = p - group["lr"] * p.grad
                p.copy_(point + momentum * (point - last))
                state["last"] = point
        self.count = 1 if self.count >= self.param_groups[0]["every"] else self.count + 1


def _torchrecurrent(input_size: int, hidden_size: int, **options: Any) -> nn.Module:
    made: nn.Module = importlib.import_module("torchrecurrent").PeepholeLSTM(
        input_size, hidden_size, **options
    )
    return made


# name -> the module that must be there, how a layer is made, on which devices
PEERS: dict[str, tuple[str, Make, tuple[str, ...]]] = {
    "torchrecurrent PeepholeLSTM": ("torchrecurrent", _torchrecurrent, ("cpu", "cuda")),
    "FlashRNN": ("flashrnn", FlashRNN, ("cuda",)),
}


def installed_peers(device: str) -> dict[str, Make]:
    """Those that can be imported here."""
    found = {}
    for name, (module, make, devices) in PEERS.items():
        if device in devices and importlib.util.find_spec(module) is not None:
            found[name] = make
    return found
