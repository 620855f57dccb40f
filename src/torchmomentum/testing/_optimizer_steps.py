"""What a step computes, as checks of any optimizer in the form of ``torch.optim.SGD``."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.testing._contract import Contract, require, require_close, require_error

MakeOptimizer = Callable[..., torch.optim.Optimizer]
CONTRACT = Contract()


def problem(dtype: torch.dtype = torch.float64) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """Two parameters and a convex loss of them."""
    generator = torch.Generator().manual_seed(2)
    real = torch.float64 if dtype.is_complex else dtype
    params = [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=real).to(dtype))
        for shape in ((3, 2), (4,))
    ]
    scales = [torch.rand(p.shape, generator=generator, dtype=real) + 0.5 for p in params]

    def loss() -> Tensor:
        terms = (s * (p - 1).abs() ** 2 for s, p in zip(scales, params, strict=True))
        return sum((t.sum() for t in terms), torch.zeros((), dtype=real))

    return params, loss


def steps(
    optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], count: int, sign: float = 1.0
) -> None:
    """Takes steps on ``sign`` times the loss."""
    for _ in range(count):
        optimizer.zero_grad()
        (sign * loss()).backward()
        optimizer.step()


def train(
    make: MakeOptimizer, dtype: torch.dtype = torch.float64, sign: float = 1.0, **options: Any
) -> list[Tensor]:
    """The parameters after twelve steps on :func:`problem`."""
    params, loss = problem(dtype)
    steps(make(params, lr=0.02, **options), loss, 12, sign)
    return [p.detach() for p in params]


_DECAYED: tuple[dict[str, Any], ...] = ({}, {"weight_decay": 0.3})
_TURNED: tuple[dict[str, Any], ...] = (*_DECAYED, {"weight_decay": 0.3, "maximize": True})


@CONTRACT.check
def _descends(make: MakeOptimizer) -> None:
    for dtype in (torch.float32, torch.float64):
        params, loss = problem(dtype)
        before = loss().item()
        steps(make(params, lr=0.02), loss, 50)
        require(loss().item() < 0.1 * before, f"the loss went from {before} to {loss().item()}")


@CONTRACT.check
def _resumes(make: MakeOptimizer) -> None:
    for cut in (1, 2, 5, 11):
        params, loss = problem()
        steps(make(params, lr=0.02), loss, 12)
        other, other_loss = problem()
        first = make(other, lr=0.02)
        steps(first, other_loss, cut)
        saved = pickle.loads(pickle.dumps(first.state_dict()))
        second = make(other, lr=0.5)
        second.load_state_dict(saved)
        steps(second, other_loss, 12 - cut)
        require_close(other, params, f"resumed after {cut} steps", 0.0)


@CONTRACT.check
def _foreach(make: MakeOptimizer) -> None:
    for options in _TURNED:
        found = train(make, foreach=True, **options)
        require_close(found, train(make, foreach=False, **options), f"foreach, {options}", 1e-14)


@CONTRACT.check
def _fused(make: MakeOptimizer) -> None:
    # a kernel of its own may serve each type
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        for options in _TURNED:
            found = train(make, dtype, fused=True, **options)
            expected = train(make, dtype, foreach=False, **options)
            require_close(found, expected, f"fused in {dtype}, {options}", tolerance)
    require_error(lambda: train(make, fused=True, foreach=True), "fused and foreach")
    require_error(lambda: train(make, fused=True, differentiable=True), "fused, differentiable")


@CONTRACT.check
def _maximize(make: MakeOptimizer) -> None:
    for options in _DECAYED:  # a decay shrinks parameters in both directions
        found = train(make, sign=-1.0, maximize=True, **options)
        require_close(found, train(make, **options), f"maximizing the negative, {options}", 0.0)


@CONTRACT.check
def _leaves_gradients(make: MakeOptimizer) -> None:
    for options in _TURNED:  # in lists, SGD with Nesterov's momentum changes them
        params, loss = problem()
        optimizer = make(params, lr=0.02, foreach=False, **options)
        for _ in range(3):
            optimizer.zero_grad()
            loss().backward()
            before = [p.grad.clone() for p in params if p.grad is not None]
            optimizer.step()
            after = [p.grad for p in params if p.grad is not None]
            require_close(after, before, f"gradients with {options}", 0.0)


@CONTRACT.check
def _weight_decay(make: MakeOptimizer) -> None:
    params, loss = problem()
    penalized = lambda: loss() + sum(0.15 * p.square().sum() for p in params)  # noqa: E731
    steps(make(params, lr=0.02), penalized, 12)
    require_close(train(make, weight_decay=0.3), params, "a penalty in place of the decay", 1e-12)


@CONTRACT.check
def _without_gradient(make: MakeOptimizer) -> None:
    params, _ = problem()
    optimizer = make(params, lr=0.02)
    before = params[1].detach().clone()
    for _ in range(3):
        params[0].grad = torch.ones_like(params[0])
        optimizer.step()
    require(torch.equal(params[1], before), "a parameter without a gradient moved")
    require(params[1] not in optimizer.state, "a parameter without a gradient has a state")


@CONTRACT.check
def _tensor_lr(make: MakeOptimizer) -> None:
    params, loss = problem()
    steps(make(params, lr=torch.tensor(0.02, dtype=torch.float64)), loss, 12)
    require_close(params, train(make), "a tensor as learning rate", 1e-14)
    require_error(lambda: make(params, lr=torch.tensor([0.1, 0.2])), "a learning rate of two")


@CONTRACT.check
def _sparse(make: MakeOptimizer) -> None:
    def embedded(sparse: bool) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        table = nn.Parameter(torch.randn(5, 2, generator=generator, dtype=torch.float64))
        optimizer = make([table], lr=0.02)
        for i in range(6):
            optimizer.zero_grad()
            rows = torch.tensor([i % 5, (i + 2) % 5])
            loss = torch.nn.functional.embedding(rows, table, sparse=sparse).square().sum()
            loss.backward()
            optimizer.step()
        return table.detach()

    require_close(embedded(True), embedded(False), "sparse gradients", 1e-14)


@CONTRACT.check
def _complex(make: MakeOptimizer) -> None:
    params, loss = problem(torch.complex128)
    before = loss().item()
    steps(make(params, lr=0.02), loss, 50)
    require(loss().item() < 0.1 * before, "complex parameters do not descend")


@CONTRACT.check
def _differentiable(make: MakeOptimizer) -> None:
    def run(start: Tensor, lr: Tensor) -> Tensor:
        p = start.clone()
        optimizer = make([p.detach().requires_grad_()], lr=0.1, differentiable=True)
        optimizer.param_groups[0].update(params=[p], lr=lr)
        for _ in range(3):
            p.grad = 2 * p.clone()
            optimizer.step()
        return p

    start = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(run, (start, rate))
