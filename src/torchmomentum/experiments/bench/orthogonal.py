"""The orthogonal network beside its loop over time in PyTorch, and the matrix beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import torchmomentum.nn as tnn
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.ops.orthogonal import MAPS, moved, skew

_TIME, _BATCH = 784, 128  # of PMNIST
_MU, _STEP_SIZE = 0.6, 0.9
_TANGENT = 0.01  # of a tangent's entries, some way from the base


class EagerDTRIV(nn.Module):
    """The MomentumDTRIV of the MomentumRNN paper as a loop in PyTorch, rebased at each step.

    The matrix is evaluated once in a forward, as in the released code.
    """

    base: Tensor

    def __init__(self, inputs: int, hidden: int, device: str) -> None:
        super().__init__()
        like: Any = tnn.OrthogonalRNN(inputs, hidden, device=device)
        self.weight: nn.Parameter = like.weight_ih_l0
        self.bias: nn.Parameter = like.bias_modrelu_l0
        self.tangent: nn.Parameter = like.orthogonal[0].tangent
        self.register_buffer("base", like.orthogonal[0].base)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """``(T, B, I)`` to ``(T, B, H)``."""
        u = self.base @ torch.linalg.matrix_exp(skew(self.tangent))
        h = v = x.new_zeros(x.shape[1], len(u))
        out = []
        for drive in x.unbind():
            v = _MU * v + _STEP_SIZE * nn.functional.linear(drive, self.weight)
            total = v + nn.functional.linear(h, u)
            h = torch.sign(total) * torch.relu(total.abs() + self.bias)
            out.append(h)
        return torch.stack(out), None

    @torch.no_grad()
    def rebase(self) -> None:
        """After a step of the optimizer."""
        self.base.copy_(self.base @ torch.linalg.matrix_exp(skew(self.tangent)))
        self.tangent.zero_()


def _products(u: Tensor) -> None:
    """The products with ``u`` of a training step, and nothing else: what no step goes below."""
    h = u.new_ones(_TIME * _BATCH, len(u))
    step = h[:_BATCH]
    out = torch.empty_like(step)
    for _ in range(_TIME):
        torch.mm(step, u.T, out=out)  # forward
    for _ in range(_TIME):
        torch.mm(step, u, out=out)  # backward, of the states
    torch.mm(h.T, h)  # and of the matrix


def _step(layer: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    layer(x)[0][-1].square().mean().backward()
    optimizer.step()
    if isinstance(layer, EagerDTRIV):
        layer.rebase()


def time_training(
    units: str, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: a training step with its optimizer's, ours and the loop's."""
    hidden = int(units)
    x = torch.rand(_TIME, _BATCH, 1, device=device)
    ours = partial(tnn.MomentumDTRIV, 1, hidden, device=device, mu=_MU, step_size=_STEP_SIZE)
    made = {
        "a loop, K = 1": EagerDTRIV(1, hidden, device),
        "MomentumDTRIV, K = 1": ours(),
        "MomentumDTRIV, K = 100": ours(rebase_every=100),
        "MomentumDTRIV, K = inf": ours(rebase_every=None),
        "MomentumDTRIV, K = inf, cayley": ours(rebase_every=None, map="cayley"),
        "MomentumRNN": tnn.MomentumRNN(1, hidden, device=device, mu=_MU, step_size=_STEP_SIZE),
    }
    steps: dict[str, Callable[[], object]] = {
        name: partial(_step, layer, x, torch.optim.RMSprop(layer.parameters(), lr=1e-5))
        for name, layer in made.items()
    }
    steps["the products with U alone"] = partial(_products, torch.eye(hidden, device=device))
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}


def _both(make: Callable[[Tensor], Tensor], a: Tensor, probe: Tensor) -> None:
    torch.autograd.grad((make(a) * probe).sum(), a)


def time_maps(units: str, *, seconds: float, device: str, tell: Tell = silent) -> dict[str, Any]:
    """One row: the matrix with its gradient, by PyTorch's exponential and by ours."""
    size = int(units)
    a = skew(torch.randn(size, size, device=device) * _TANGENT).requires_grad_()
    zero, base = torch.zeros_like(a).requires_grad_(), torch.eye(size, device=device)
    probe = torch.randn(size, size, device=device)

    def forward(make: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            make(a)

    exp = torch.linalg.matrix_exp
    steps: dict[str, Callable[[], object]] = {
        "matrix_exp and gradient": partial(_both, exp, a, probe),
        "matrix_exp alone": partial(forward, exp),
        "exp and gradient": partial(_both, MAPS["exp"], a, probe),
        "exp alone": partial(forward, MAPS["exp"]),
        "exp and gradient, A = 0": partial(_both, partial(moved, base), zero, probe),
        "cayley and gradient": partial(_both, MAPS["cayley"], a, probe),
    }
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}
