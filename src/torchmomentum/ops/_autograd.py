"""Registers a recurrence as one operator of PyTorch's, differentiable any number of times.

A recurrence is known by its *definition*, a plain PyTorch function that autograd can follow. The
operator's kernels may be anything faster. Its backward is an operator of its own, so that a
compiled or exported graph holds one node for each direction; the backward of the backward goes
through the definition, on every device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from torchmomentum._torch_private import (
    below_autograd,
    captured,
    in_transform,
    plain,
    transformed,
)

LIBRARY = torch.library.Library("torchmomentum", "DEF")

P = ParamSpec("P")
R = TypeVar("R")
Tensors = Sequence["Tensor | None"]
func: Any = torch.func  # what its functions return depends on arguments that mypy cannot see


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


def _push_forward(definition: Callable[..., Any]) -> Callable[..., Any]:
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

    def below(*args: Any) -> Any:
        for x in args:
            # a view of an imaginary part may be negated on reading, which a pointer does not show
            if isinstance(x, Tensor) and x.is_neg():
                args = tuple(a.resolve_neg() if isinstance(a, Tensor) else a for a in args)
                break
        with below_autograd():
            if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
                results = _in_full_precision(kernel)(*args)
            else:
                results = kernel(*args)
        return tuple(results) if isinstance(results, list) else results

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        setup_context(ctx, inputs, output)
        if transformed():
            ctx.primals, ctx.outputs = inputs, output

    def call(*args: Any) -> Any:
        if not plain():
            return op(*args) if captured() else apply(*args)
        if args[0].is_meta:
            return op(*args)
        if torch.is_grad_enabled():
            for x in args:
                if isinstance(x, Tensor) and x.requires_grad:
                    return apply(*args)
        return below(*args)

    methods = {
        "forward": staticmethod(below),
        "setup_context": staticmethod(setup),
        "backward": staticmethod(backward),
        "vmap": staticmethod(members(call)),
        "jvp": staticmethod(_push_forward(definition)),
    }
    function: Any = type(name, (torch.autograd.Function,), methods)
    apply = function.apply
    return call


def _variable(x: Tensor | None) -> bool:
    return x is not None and (x.is_floating_point() or x.is_complex())


def _variables(values: Tensors) -> list[Tensor]:
    """Those that have a gradient: neither absent nor a mask."""
    found = []
    for x in values:
        if x is not None and (x.is_floating_point() or x.is_complex()):
            found.append(x)
    return found


def _root(x: Tensor | None, *, connected: bool) -> Tensor | None:
    """A tensor to differentiate with respect to, still part of its graph where asked."""
    if x is None or not _variable(x) or (connected and x.requires_grad):
        return x
    return x.detach().requires_grad_()


def functional_product(
    function: Callable[..., Sequence[Tensor]], inputs: Tensors, grad_outputs: Tensors
) -> list[Tensor]:
    """:func:`vector_jacobian_product` by ``torch.func``.

    Within a transform only its own kind may be used; below an operator, where autograd is left out,
    it differentiates all the same.
    """
    places = [i for i, x in enumerate(inputs) if x is not None and _variable(x)]

    def of_variables(*values: Tensor) -> tuple[Tensor, ...]:
        complete = list(inputs)
        for i, value in zip(places, values, strict=True):
            complete[i] = value
        return tuple(function(*complete))

    outputs, pull = func.vjp(of_variables, *_variables(inputs))
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
        wanted = _variables(inputs)
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


def _spread(grads: Sequence[Tensor], inputs: Tensors) -> list[Tensor | None]:
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


def define_recurrence(
    name: str,
    *,
    arguments: str,
    outputs: int,
    definition: Callable[..., Sequence[Tensor]],
    fake: Callable[..., Sequence[Tensor]],
    forward: Callable[..., Sequence[Tensor]],
    backward: Callable[..., Sequence[Tensor]],
    saved: int = 0,
    constants: str = "",
    needs_states: bool = False,
    at_backward: Callable[[Sequence[Any], Sequence[bool]], Sequence[Any]] | None = None,
    members: Callable[..., Any] = each_member,
) -> Any:
    """Registers ``torchmomentum::<name>`` with its kernels, fake kernel and two orders of autograd.

    Args:
        name: The operator's name; its backward becomes ``<name>_backward``.
        arguments: The schema of the tensor arguments, ``"Tensor x, Tensor? bias"``.
        outputs: How many differentiable outputs there are.
        definition: ``definition(*tensors, *constants)``, the outputs in plain PyTorch.
        fake: Shapes: ``fake(*tensors, *constants)``, the outputs and then the saved tensors.
        forward: The kernel, same results as ``fake``. It runs below autograd.
        backward: ``backward(tensors, results, grad_outputs, constants)``, a gradient for each
            tensor of floating point.
        saved: How many further results the kernel keeps for its backward.
        constants: The schema of arguments that are no tensors.
        needs_states: Whether the backward looks at the outputs behind the first.
        at_backward: The constants for the backward, from those of the forward and from which
            arguments need a gradient: what the forward sees may be less than what comes.
        members: Makes the rule for ``vmap``; by default one call for each member.

    Returns:
        The operator, to be called with all arguments by position.
    """
    count = len(arguments.split(","))
    n_constants = len(constants.split(",")) if constants else 0

    results = ", ".join(["Tensor"] * (outputs + saved))
    result_arguments = ", ".join(f"Tensor result_{i}" for i in range(outputs + saved))
    grad_arguments = ", ".join(f"Tensor? grad_{i}" for i in range(outputs))
    tail = f", {constants}" if constants else ""

    def split(args: Sequence[Any]) -> tuple[Tensors, Sequence[Tensor], Tensors, Sequence[Any]]:
        a, b = count, count + outputs + saved
        return args[:a], args[a:b], args[b : b + outputs], args[b + outputs :]

    def backward_impl(*args: Any) -> list[Tensor]:
        return [grad.contiguous() for grad in backward(*split(args))]  # as the fake one says

    def backward_fake(*args: Any) -> list[Tensor]:
        variables = _variables(split(args)[0])
        return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in variables]

    op = register(f"{name}({arguments}{tail}) -> ({results})", forward, fake)
    backward_op = register(
        f"{name}_backward({arguments}, {result_arguments}, {grad_arguments}{tail}) -> Tensor[]",
        backward_impl,
        backward_fake,
    )

    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        # the caller may change the last state in place, as between episodes
        used = output if needs_states else (output[0], *output[outputs:])
        ctx.save_for_backward(*inputs[:count], *used)
        ctx.fixed = inputs[count:]

    def differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        kept = ctx.saved_tensors
        if not needs_states:  # the first result stands in for what is not looked at
            first = [kept[count]] * outputs
            kept = (*kept[:count], *first, *kept[count + 1 :])
        fixed = ctx.fixed if at_backward is None else at_backward(ctx.fixed, ctx.needs_input_grad)
        found = pull(*kept, *grads[:outputs], *fixed)
        return (*_spread(found, kept[:count]), *[None] * n_constants)

    def setup_twice(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
        tensors, kept, grads, fixed = split(inputs)
        ctx.save_for_backward(*tensors, *grads)
        ctx.fixed, ctx.kept = fixed, len(kept)

    def differentiate_twice(ctx: Any, *grad_grads: Any) -> tuple[Any, ...]:
        together = ctx.saved_tensors
        if len(grad_grads) == 1 and isinstance(grad_grads[0], (list, tuple)):
            (grad_grads,) = grad_grads  # the operator hands a list over, the function its members

        def first(*args: Tensor | None) -> list[Tensor]:
            return vector_jacobian_product(
                lambda *tensors: definition(*tensors, *ctx.fixed),
                args[:count],
                args[count:],
                create_graph=True,
            )

        pulled = vector_jacobian_product(
            first, together, grad_grads, create_graph=torch.is_grad_enabled()
        )
        found = _spread(pulled, together)
        return (*found[:count], *[None] * ctx.kept, *found[count:], *[None] * n_constants)

    def pull_definition(*args: Any) -> list[Tensor]:
        tensors, _, grads, fixed = split(args)
        return vector_jacobian_product(
            lambda *inputs: definition(*inputs, *fixed), tensors, grads, create_graph=True
        )

    pull = with_autograd(
        *(f"{name}_backward", backward_op, backward_impl),
        *(differentiate_twice, setup_twice, pull_definition),
        members=members,
    )
    return with_autograd(name, op, forward, differentiate, setup, definition, members)
