"""Registers a recurrence as one operator of PyTorch's, differentiable any number of times.

A recurrence is known by its *definition*, a plain PyTorch function that autograd can follow. The
operator's kernels may be anything faster. Its backward is an operator of its own, so that a
compiled or exported graph holds one node for each direction; the backward of the backward goes
through the definition, on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchmomentum.ops._autograd import each_member, register, with_autograd
from torchmomentum.ops._derivatives import (
    Tensors,
    spread,
    variables,
    vector_jacobian_product,
)

AtBackward = Callable[[Sequence[Any], Sequence[bool]], Sequence[Any]]


@dataclass(frozen=True)
class _Recurrence:
    """The parts of :func:`define_recurrence`, and how they make two orders of derivatives."""

    definition: Callable[..., Sequence[Tensor]]
    backward: Callable[..., Sequence[Tensor]]
    tensors: int  # how many arguments are tensors
    constants: int
    outputs: int
    saved: int
    needs_states: bool
    at_backward: AtBackward | None

    def split(self, args: Sequence[Any]) -> tuple[Tensors, Sequence[Tensor], Tensors, Any]:
        """The backward operator's arguments: tensors, results, their gradients, constants."""
        a, b = self.tensors, self.tensors + self.outputs + self.saved
        return args[:a], args[a:b], args[b : b + self.outputs], args[b + self.outputs :]

    def run_backward(self, *args: Any) -> list[Tensor]:
        """The backward operator's kernel; contiguous, as its shapes are given."""
        return [grad.contiguous() for grad in self.backward(*self.split(args))]

    def fake_backward(self, *args: Any) -> list[Tensor]:
        """The backward operator's shapes."""
        found = variables(args[: self.tensors])
        return [torch.empty_like(x, memory_format=torch.contiguous_format) for x in found]

    def setup(self, ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """What the backward keeps: all but the states where it does not look at them."""
        ctx.set_materialize_grads(False)
        # the caller may change the last state in place, as between episodes
        used = output if self.needs_states else (output[0], *output[self.outputs :])
        ctx.save_for_backward(*inputs[: self.tensors], *used)
        ctx.fixed = inputs[self.tensors :]

    def differentiate(
        self, pull: Callable[..., Sequence[Tensor]], ctx: Any, grads: Sequence[Tensor | None]
    ) -> tuple[Any, ...]:
        """The gradients of all arguments, by the backward operator."""
        count, outputs = self.tensors, self.outputs
        if all([g is None for g in grads[:outputs]]):  # as where a second derivative passes by
            return (None,) * (count + self.constants)
        kept = ctx.saved_tensors
        if not self.needs_states:  # the first result stands in for what is not looked at
            kept = (*kept[:count], *[kept[count]] * outputs, *kept[count + 1 :])
        fixed = ctx.fixed
        if self.at_backward is not None:
            fixed = self.at_backward(fixed, ctx.needs_input_grad)
        found = pull(*kept, *grads[:outputs], *fixed)
        return (*spread(found, kept[:count]), *[None] * self.constants)

    def setup_twice(self, ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
        """What the backward of the backward keeps."""
        tensors, kept, grads, fixed = self.split(inputs)
        ctx.save_for_backward(*tensors, *grads)
        ctx.fixed, ctx.kept = fixed, len(kept)

    def differentiate_twice(self, ctx: Any, *grad_grads: Any) -> tuple[Any, ...]:
        """The gradients of the backward's arguments, through the definition."""
        together, count = ctx.saved_tensors, self.tensors
        if len(grad_grads) == 1 and isinstance(grad_grads[0], (list, tuple)):
            (grad_grads,) = grad_grads  # the operator hands a list over, the function its members

        def first(*args: Tensor | None) -> list[Tensor]:
            return vector_jacobian_product(
                lambda *tensors: self.definition(*tensors, *ctx.fixed),
                args[:count],
                args[count:],
                create_graph=True,
            )

        pulled = vector_jacobian_product(
            first, together, grad_grads, create_graph=torch.is_grad_enabled()
        )
        found = spread(pulled, together)
        none = [None] * self.constants
        return (*found[:count], *[None] * ctx.kept, *found[count:], *none)

    def define_backward(self, *args: Any) -> list[Tensor]:
        """What the backward's results are, by the definition."""
        tensors, _, grads, fixed = self.split(args)
        return vector_jacobian_product(
            lambda *inputs: self.definition(*inputs, *fixed), tensors, grads, create_graph=True
        )


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
    at_backward: AtBackward | None = None,
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
    counts = len(arguments.split(",")), len(constants.split(",")) if constants else 0
    shape = (*counts, outputs, saved, needs_states, at_backward)
    made = _Recurrence(definition, backward, *shape)
    results = ", ".join(["Tensor"] * (outputs + saved))
    given = ", ".join(f"Tensor result_{i}" for i in range(outputs + saved))
    pulled = ", ".join(f"Tensor? grad_{i}" for i in range(outputs))
    tail = f", {constants}" if constants else ""
    op = register(f"{name}({arguments}{tail}) -> ({results})", forward, fake)
    backward_op = register(
        f"{name}_backward({arguments}, {given}, {pulled}{tail}) -> Tensor[]",
        made.run_backward,
        made.fake_backward,
    )
    pull = with_autograd(
        *(f"{name}_backward", backward_op, made.run_backward),
        *(made.differentiate_twice, made.setup_twice, made.define_backward),
        members=members,
    )

    def differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return made.differentiate(pull, ctx, grads)

    return with_autograd(name, op, forward, differentiate, made.setup, definition, members)
