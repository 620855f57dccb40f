"""One step after the other along time: a loop, or in an export to ONNX one ``Scan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from torchmomentum._torch_private import constant_in_graphs, scan_as_one_node

Tensors = tuple[Tensor, ...]


@constant_in_graphs
def to_onnx() -> bool:
    """Whether a program is being exported to ONNX, where our operators mean nothing."""
    return torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export()


def along_time(
    step: Callable[[Tensors, Mapping[str, Tensor]], tuple[Tensors, Tensor]],
    carry: Tensors,
    sequences: Mapping[str, Tensor | None],
    reverse: bool = False,
) -> tuple[Tensor, Tensors]:
    """Carries tensors from step to step.

    Args:
        step: Makes the next carry and an output, of a carry and of what the sequences have there.
        carry: What to begin with.
        sequences: Each ``(T, ...)``; those that are None are left out.
        reverse: Begins with the last step.

    Returns:
        The outputs, stacked in the order of the sequences, and the last carry.
    """
    given = {name: x for name, x in sequences.items() if x is not None}
    if to_onnx():

        def copied(carry: Tensors, at: Mapping[str, Tensor]) -> tuple[Tensors, Tensor]:
            carry, out = step(carry, at)
            return tuple([c.clone() for c in carry]), out.clone()  # none may be another

        return scan_as_one_node(copied, carry, given, reverse)
    outputs: list[Tensor] = []
    steps = list(zip(*[x.unbind(0) for x in given.values()], strict=True))
    for values in reversed(steps) if reverse else steps:
        carry, out = step(carry, dict(zip(given, values, strict=True)))
        outputs.append(out)
    return torch.stack(outputs[::-1] if reverse else outputs), carry
