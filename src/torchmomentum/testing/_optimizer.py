"""What users of ``torch.optim.SGD`` rely on around a step, as checks of any optimizer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from torchmomentum.testing._contract import require, require_close, require_error
from torchmomentum.testing._optimizer_steps import CONTRACT, MakeOptimizer, problem, steps, train


@CONTRACT.check
def _closure(make: MakeOptimizer) -> None:
    params, loss = problem()
    optimizer = make(params, lr=0.02)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    expected = loss().item()
    found = optimizer.step(closure)  # type: ignore[arg-type]
    require(
        found is not None and torch.as_tensor(found).item() == expected,
        "step does not return the loss",
    )
    for _ in range(11):
        optimizer.step(closure)  # type: ignore[arg-type]
    require_close(params, train(make), "with a closure", 0.0)


@CONTRACT.check
def _groups(make: MakeOptimizer) -> None:
    params, loss = problem()
    optimizer = make([{"params": params[:1]}], lr=0.02)
    optimizer.add_param_group({"params": params[1:], "lr": 0.0})
    before = params[1].detach().clone()
    steps(optimizer, loss, 12)
    require(torch.equal(params[1], before), "a group with lr=0 moved")
    require_close(params[0], train(make)[0], "a group with the default", 0.0)


@CONTRACT.check
def _scheduler(make: MakeOptimizer) -> None:
    params, loss = problem()
    optimizer = make(params, lr=0.02)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    for _ in range(12):
        steps(optimizer, loss, 1)
        scheduler.step()
    require(optimizer.param_groups[0]["lr"] == 0.02 / 16, "the learning rate was not scheduled")


@CONTRACT.check
def _names(make: MakeOptimizer) -> None:
    params, _ = problem()
    named = [(f"p{i}", p) for i, p in enumerate(params)]
    saved = make(named, lr=0.02).state_dict()
    require(saved["param_groups"][0].get("param_names") == ["p0", "p1"], "names are not saved")


@CONTRACT.check
def _hooks(make: MakeOptimizer) -> None:
    params, loss = problem()
    optimizer, calls = make(params, lr=0.02), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    steps(optimizer, loss, 2)
    require(calls == ["pre", "post"] * 2, f"step hooks ran as {calls}")


@CONTRACT.check
def _copying(make: MakeOptimizer) -> None:
    params, loss = problem()
    optimizer = make(params, lr=0.02)
    steps(optimizer, loss, 3)
    for name, other in {
        "deepcopy": copy.deepcopy(optimizer),
        "pickle": pickle.loads(pickle.dumps(optimizer)),
    }.items():
        found = other.state_dict()["param_groups"]
        require(found == optimizer.state_dict()["param_groups"], f"{name} changes the groups")
    require("lr" in repr(optimizer), "repr does not show the learning rate")


@CONTRACT.check
def _wrong_arguments(make: MakeOptimizer) -> None:
    params, _ = problem()
    require_error(lambda: make(params, lr=-1.0), "a negative learning rate")
    require_error(lambda: make(params, lr=0.1, weight_decay=-1.0), "a negative weight decay")
    require_error(lambda: make([], lr=0.1), "no parameters")
    require_error(lambda: make(params[0], lr=0.1), "a bare tensor")
    require_error(lambda: make([params[0] * 2], lr=0.1), "a tensor that is no leaf")


@CONTRACT.check
def _not_finite(make: MakeOptimizer) -> None:
    params, _ = problem()
    for value in (float("nan"), float("inf")):
        require_error(partial(make, params, lr=value), f"lr={value}")


def check_optimizer(make: MakeOptimizer, *, skip: Sequence[str] = ()) -> list[str]:
    """Tests an optimizer on what users of ``torch.optim.SGD`` rely on.

    Descent, resuming to the bit from a state dict, ``foreach``, ``fused``, ``weight_decay``,
    ``maximize`` with and without it, ``differentiable``, gradients that stay as they are or are
    absent, closures, a tensor as learning rate, groups, schedulers, named parameters, hooks, sparse
    gradients, complex parameters, copies, and errors.

    Args:
        make: ``make(params, **options)``, the optimizer; options as ``torch.optim.SGD``'s.
        skip: Checks to leave out, by name. ``torch.optim.SGD`` with momentum needs
            ``differentiable`` (it cuts the momentum off) and ``not_finite``.

    Returns:
        The names of the checks that ran.

    Raises:
        ContractError: A check fails; the message names it.
        ValueError: ``skip`` names no check.

    Example:
        >>> from torchmomentum.optim import SRSGD
        >>> "resumes" in check_optimizer(SRSGD)
        True
    """
    return CONTRACT.run(make, skip)
