"""What the CPU kernels keep of a normalization, and the table that they find it by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cpu.pool import empty


def _widths(problem: Problem) -> list[int]:
    """How many floats each array keeps of a row: the product's and the cell's, and inverses."""
    modifiers = problem.modifiers
    product = [] if modifiers.norm_hh is None else [modifiers.norm_hh.shape[0], 1]
    return product + ([] if modifiers.norm_c is None else [modifiers.norm_c.shape[0], 1])


def kept_floats(problem: Problem, steps: int) -> int:
    """How many floats the steps of a layer keep of its normalizations; 0 without one."""
    return steps * problem.x.shape[1] * sum(_widths(problem))


class Norms:
    """The standardized products and cells of some steps, with one over their deviations.

    Args:
        problem: The layer.
        steps: How many steps there is room for.
        kept: What the forward kept, for a backward; room for it otherwise.
    """

    def __init__(self, problem: Problem, steps: int, kept: Tensor | None = None) -> None:
        modifiers, x = problem.modifiers, problem.x
        given = modifiers.norm_hh, modifiers.norm_c, modifiers.norm_c_bias
        self.gain, self.cell_gain, self.cell_bias = [
            None if n is None else n.contiguous() for n in given
        ]
        self.kept = empty(x, kept_floats(problem, steps)) if kept is None else kept
        batch, widths = x.shape[1], _widths(problem)
        pieces = zip(self.kept.split([steps * batch * w for w in widths]), widths, strict=True)
        self.arrays = [piece.view(steps, batch, width) for piece, width in pieces]

    def table(self, steps: slice, work: Sequence[Tensor | None] = (None,) * 4) -> Tensor:
        """Where everything of these steps lies, in the order of ``Norms`` in ``norm.h``.

        Args:
            steps: Of those that there is room for.
            work: A backward's: the products' gradients, those of the gains, the cell's gradient by
                way of ``h``, and those of its gains and biases.
        """
        normal, inverse, *cell = [a[steps] for a in self.arrays]
        made, sums, through, cell_sums = work
        found = [self.gain, normal, inverse, made, sums, self.cell_gain, self.cell_bias]
        found += [*(cell or (None, None)), through, cell_sums]
        places = [0 if t is None else t.data_ptr() for t in found]
        return torch.tensor(places, dtype=torch.int64, device="cpu")


class NormGradients:
    """The gradients of the gains and biases, which each chunk adds to."""

    def __init__(self, problem: Problem, norms: Norms, steps: int, threads: int) -> None:
        x, batch, self.norms = problem.x, problem.x.shape[1], norms
        rows = problem.weight_hh.shape[0]
        self.made = empty(x, steps, batch, rows)  # of what weight_hh made
        self.sums = x.new_zeros(threads, rows)
        self.through: Tensor | None = None
        self.cell_sums: Tensor | None = None
        if norms.cell_gain is not None:
            hidden = norms.cell_gain.shape[0]
            self.through = x.new_empty(batch, hidden)
            self.cell_sums = x.new_zeros(threads, 2, hidden)

    def table(self, steps: slice) -> Tensor:
        """The kernel's table for a chunk."""
        return self.norms.table(steps, (self.made, self.sums, self.through, self.cell_sums))

    def found(self) -> list[Tensor]:
        """Those of ``norm_hh``, ``norm_c`` and ``norm_c_bias``, as far as there are any."""
        found = [self.sums.sum(0)]
        if self.cell_sums is not None:
            gain, bias = self.cell_sums.sum(0)
            found += [gain] if self.norms.cell_bias is None else [gain, bias]
        return found
