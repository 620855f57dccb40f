"""Derivatives of plain PyTorch functions: what operators fall back on, in both modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchmomentum._torch_private import in_transform

Tensors = Sequence["Tensor | None"]
func: Any = torch.func  # what its functions return depends on arguments that mypy cannot see


def _jacobian_vector_product(function: Any, primals: Any, directions: Any) -> Any:
    if in_transform():
        return func.jvp(function, primals, directions)[1]
    # within a dual level forward mode does not nest: two reverse passes do the same
    _, pull = func.vjp(function, *(x.detach() for x in primals))
    outputs = function(*primals)
    zero = (
        torch.zeros_like(outputs)
        if isinstance(outputs, Tensor)
        else tuple(map(torch.zeros_like, outputs))
    )
    _, push = func.vjp(pull, zero)
    return push(directions)[0]


def push_forward(definition: Callable[..., Any]) -> Callable[..., Any]:
    """The rule for forward mode: the definition's directional derivative, zero beyond its outputs.

    What an operator keeps for its backward is the one thing that a definition does not return.
    """

    def jvp(ctx: Any, *tangents: Any) -> Any:
        args, outputs = ctx.primals, ctx.outputs
        moving = [i for i, tangent in enumerate(tangents) if tangent is not None]

        def along(*values: Tensor) -> Any:
            complete = list(args)
            for i, value in zip(moving, values, strict=True):
                complete[i] = value
            found = definition(*complete)
            return found if isinstance(found, Tensor) else tuple(found)

        # an expanded tensor has no memory of its own to write a direction to
        primals = tuple(args[i].clone() for i in moving)
        directions = tuple(tangents[i].clone() for i in moving)
        pushed: Any = _jacobian_vector_product(along, primals, directions)
        if isinstance(pushed, Tensor):
            return pushed
        return (*pushed, *(torch.zeros_like(x) for x in outputs[len(pushed) :]))

    return jvp


def variables(values: Tensors) -> list[Tensor]:
    """Those that have a gradient: neither absent nor a mask."""
    found = []
    for x in values:
        if x is not None and (x.is_floating_point() or x.is_complex()):
            found.append(x)
    return found


def _root(x: Tensor | None, *, connected: bool) -> Tensor | None:
    """A tensor to differentiate with respect to, still part of its graph where asked."""
    if x is None or not variables([x]) or (connected and x.requires_grad):
        return x
    return x.detach().requires_grad_()


def functional_product(
    function: Callable[..., Sequence[Tensor]], inputs: Tensors, grad_outputs: Tensors
) -> list[Tensor]:
    """:func:`vector_jacobian_product` by ``torch.func``.

    Within a transform only its own kind may be used; below an operator, where autograd is left out,
    it differentiates all the same.
    """
    places = [i for i, x in enumerate(inputs) if variables([x])]

    def of_variables(*values: Tensor) -> tuple[Tensor, ...]:
        complete = list(inputs)
        for i, value in zip(places, values, strict=True):
            complete[i] = value
        return tuple(function(*complete))

    outputs, pull = func.vjp(of_variables, *variables(inputs))
    pulled = (
        torch.zeros_like(out) if grad is None else grad
        for out, grad in zip(outputs, grad_outputs, strict=True)
    )
    return list(pull(tuple(pulled)))


def vector_jacobian_product(
    function: Callable[..., Sequence[Tensor]],
    inputs: Tensors,
    grad_outputs: Tensors,
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """Recomputes ``function(*inputs)`` and pulls ``grad_outputs`` back to all of ``inputs``.

    Args:
        function: A differentiable function of tensors.
        inputs: Its arguments; ``None`` stays ``None``.
        grad_outputs: One gradient for each output, ``None`` for zero.
        create_graph: Whether the result is itself to be differentiated.

    Returns:
        One gradient for each input of floating point, in order; zeros where nothing depends on it.
    """
    if in_transform():
        return functional_product(function, inputs, grad_outputs)
    with torch.enable_grad():
        inputs = [_root(x, connected=create_graph) for x in inputs]
        outputs = function(*inputs)
        pairs = [
            (out, grad)
            for out, grad in zip(outputs, grad_outputs, strict=True)
            if grad is not None and out.requires_grad
        ]
        wanted = variables(inputs)
        if not pairs:
            return [torch.zeros_like(x) for x in wanted]
        grads = torch.autograd.grad(
            [out for out, _ in pairs],
            wanted,
            [grad for _, grad in pairs],
            create_graph=create_graph,
            allow_unused=True,
        )
    return [
        torch.zeros_like(x) if grad is None else grad for x, grad in zip(wanted, grads, strict=True)
    ]


def spread(grads: Sequence[Tensor], inputs: Tensors) -> list[Tensor | None]:
    """Puts the gradients back beside the inputs that have none."""
    found: list[Tensor | None] = []
    place = 0
    for x in inputs:
        if x is not None and (x.is_floating_point() or x.is_complex()):
            found.append(grads[place])
            place += 1
        else:
            found.append(None)
    return found
