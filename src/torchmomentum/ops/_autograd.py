"""Registers functions as operators of PyTorch's, and makes them differentiable."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from torchmomentum._torch_private import (
    below_autograd,
    by_members,
    captured,
    in_batches,
    plain,
    transformed,
)
from torchmomentum.ops._derivatives import push_forward

LIBRARY = torch.library.Library("torchmomentum", "DEF")

P = ParamSpec("P")
R = TypeVar("R")


def _in_full_precision(kernel: Callable[P, R]) -> Callable[P, R]:
    """Keeps autocast out of a kernel, whose callers have chosen the precision already."""

    @functools.wraps(kernel)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")):
            return kernel(*args, **kwargs)
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return kernel(*args, **kwargs)

    return run


def register(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Adds an operator to the package's library: its schema, its kernel and its shapes.

    Args:
        schema: ``"name(arguments) -> results"``.
        kernel: What it computes, below autograd.
        fake: The same for the shapes alone.

    Returns:
        The operator, to be called with all arguments by position.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, _in_full_precision(kernel), "CompositeExplicitAutograd")
    torch.library.register_fake(f"torchmomentum::{name}", fake, lib=LIBRARY)
    return getattr(torch.ops.torchmomentum, name).default


def each_member(call: Callable[..., Any]) -> Callable[..., Any]:
    """The rule for ``vmap``: one call for each member, their results stacked."""

    def vmap(info: Any, in_dims: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        def member(i: int) -> Any:
            return call(
                *(
                    x if dim is None else x.select(dim, i)
                    for x, dim in zip(args, in_dims, strict=True)
                )
            )

        members = [member(i) for i in range(info.batch_size)]
        if isinstance(members[0], Tensor):
            return torch.stack(members), 0
        return tuple(map(torch.stack, zip(*members, strict=True))), (0,) * len(members[0])

    return vmap


def _below(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as it runs below autograd, in the precision that its caller has chosen."""
    full = _in_full_precision(kernel)

    def below(*args: Any) -> Any:
        for x in args:
            # a view of an imaginary part may be negated on reading, which a pointer does not show
            if isinstance(x, Tensor) and x.is_neg():
                args = tuple([a.resolve_neg() if isinstance(a, Tensor) else a for a in args])
                break
        with below_autograd():
            if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
                results = full(*args)
            else:
                results = kernel(*args)
        return tuple(results) if isinstance(results, list) else results

    return below


def with_autograd(
    name: str,
    op: Callable[..., Any],
    kernel: Callable[..., Any],
    backward: Callable[..., Any],
    setup_context: Callable[..., None],
    definition: Callable[..., Any],
    members: Callable[..., Any] = each_member,
) -> Callable[..., Any]:
    """Makes an operator differentiable, and gives the function to call it by.

    A graph that is being captured gets the operator. Otherwise the same kernel and gradient run as
    a plain autograd function, which costs a third of the dispatcher's way: for short sequences that
    is several hundredths of a training step.

    Args:
        name: The operator's name.
        op: The operator.
        kernel: Its kernel.
        backward: The gradient, as ``torch.autograd.Function`` has it.
        setup_context: What is kept for it, likewise.
        definition: The differentiable results in plain PyTorch, for forward mode.
        members: Makes the rule for ``vmap`` of the function returned.

    Returns:
        A function of the operator's arguments, by position.
    """
    torch.library.register_autograd(
        f"torchmomentum::{name}", backward, setup_context=setup_context, lib=LIBRARY
    )
    below = _below(kernel)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        setup_context(ctx, inputs, output)
        if transformed():
            ctx.primals, ctx.outputs = inputs, output

    def run(ctx: Any, *args: Any) -> Any:
        results = below(*args)
        setup_context(ctx, args, results)
        return results

    def call(*args: Any) -> Any:
        if not plain():
            if captured():
                return op(*args)
            return by_members(vmap, args) if in_batches() else in_transforms(*args)
        if args[0].is_meta:
            return op(*args)
        if torch.is_grad_enabled():
            for x in args:
                if isinstance(x, Tensor) and x.requires_grad:
                    return eagerly(*args)
        return below(*args)

    def function(**methods: Callable[..., Any]) -> Callable[..., Any]:
        held = {key: staticmethod(method) for key, method in methods.items()}
        made: Any = type(name, (torch.autograd.Function,), held)
        apply: Callable[..., Any] = made.apply
        return apply

    vmap = members(call)
    # PyTorch reads the signature of one with a setup_context at each call: a tenth of a short step
    eagerly = function(forward=run, backward=backward)
    in_transforms = function(
        forward=below,
        setup_context=setup,
        backward=backward,
        vmap=vmap,
        jvp=push_forward(definition),
    )
    return call
