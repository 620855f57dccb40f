"""An orthogonal matrix as a parameter: dynamic trivialization."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum._checks import check_choice, check_integer
from torchmomentum._torch_private import plain, times_written
from torchmomentum.ops.orthogonal import MAPS, moved, nearest_orthogonal, skew, skew_exp

INITS = ("cayley", "henaff")
_PROJECTED_EVERY = 100  # rebases: rounding leads off the manifold


def _sharding() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


class Trivialization(nn.Module):
    r"""An orthogonal matrix that any optimizer can train.

    .. math:: U = B\,\phi(A)

    with an orthogonal base :math:`B`, a skew-symmetric :math:`A`, which is the part above the
    diagonal of the parameter ``tangent``, and :math:`\phi` the exponential or Cayley's map (Lezcano
    Casado, "Trivializations for gradient-based optimization on manifolds", 2019). After every
    ``rebase_every`` optimizer steps the base becomes :math:`U` and :math:`A` zero; every hundredth
    time the base is made orthogonal to rounding. An optimizer step is told by the parameter having
    been written to since the last evaluation in training, which writing to ``.data`` hides. So what
    writes weights and takes them back, or averages them (SAM, ``AveragedModel``, ``LBFGS``), needs
    ``rebase_every=None``. So does ``fully_shard``, which writes them at each forward.
    Where ``torch.compile`` or ``torch.func`` evaluates the matrix, nothing is rebased: that changes
    the path of the training, not the matrix.

    Args:
        size: :math:`n`.
        map: ``"exp"`` or ``"cayley"``.
        rebase_every: Optimizer steps between rebases, :math:`K`; None never rebases.
        init: How the base begins: rotations of pairs of units by drawn angles, ``"cayley"``
            (Helfrich, Willmott and Ye, 2018) or ``"henaff"`` (Henaff, Szlam and LeCun, 2016).
        device: Where the matrices are made.
        dtype: Their type.

    Raises:
        TypeError: ``rebase_every`` is no integer.
        ValueError: An unknown map or initialization, or a number out of its range.
        RuntimeError: In a forward: it is to be rebased, and ``fully_shard`` has it.

    Example:
        >>> orthogonal = Trivialization(4)
        >>> u = orthogonal()
        >>> torch.allclose(u.T @ u, torch.eye(4), atol=1e-6)
        True
    """

    base: Tensor
    steps: Tensor
    rebases: Tensor

    def __init__(
        self,
        size: int,
        map: str = "exp",
        rebase_every: int | None = 1,
        init: str = "cayley",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_choice("map", map, MAPS)
        check_choice("init", init, INITS)
        self.map, self.init = map, init
        self.rebase_every = check_integer("rebase_every", rebase_every, 1, "step", optional=True)
        self.tangent = nn.Parameter(torch.empty(size, size, device=device, dtype=dtype))
        self.register_buffer("base", torch.empty(size, size, device=device, dtype=dtype))
        self.register_buffer("steps", torch.empty((), dtype=torch.long, device=device))
        self.register_buffer("rebases", torch.empty((), dtype=torch.long, device=device))
        self._own: tuple[Tensor] | None = None  # the tangent: in a tuple, not to be registered
        self._written: int  # how often it had been, at the last evaluation in training
        self._kept: tuple[Tensor, ...] | None = None  # tangent, base and matrix
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws the base, and sets the tangent and the counts of steps and rebases to zero."""
        size, half, device = len(self.tangent), len(self.tangent) // 2, self.base.device
        if self.init == "cayley":
            angles = torch.rand(half, device=device) * math.pi / 2
            angles = -torch.tan(angles / 2)
        else:
            angles = (2 * torch.rand(half, device=device) - 1) * math.pi
        first = torch.arange(half, device=device) * 2
        start = torch.zeros(size, size, device=device)
        start[first, first + 1] = angles
        self.base.copy_(skew_exp(skew(start)))
        self.tangent.zero_()
        self.steps.zero_()
        self.rebases.zero_()
        self._take()

    def _evaluate(self) -> Tensor:
        wide = torch.promote_types(self.tangent.dtype, torch.float32)
        base, a = self.base.to(wide), skew(self.tangent.to(wide))
        return moved(base, a, self.map).to(self.tangent.dtype)

    def forward(self) -> Tensor:
        """The orthogonal matrix, ``(n, n)``; without gradients kept until its parts change."""
        if not plain() or self.tangent.is_meta:
            return self._evaluate()
        if torch.is_grad_enabled():
            if self.training:
                self._take_what_is_put_in()
                self._count()
            return self._evaluate()
        parts = self.tangent, self.base
        if self._kept is None or not all(map(_same, self._kept, parts)):
            self._kept = *(part.clone() for part in parts), self._evaluate()
        return self._kept[-1].clone()

    def _take(self) -> None:
        """Steps are counted from here on, of the tangent that is there."""
        self._own, self._written = (self.tangent,), times_written(self.tangent)

    def _is_own(self) -> bool:
        return self._own is not None and self._own[0] is self.tangent

    def _take_what_is_put_in(self) -> None:
        """Takes a parameter that was put in the tangent's place, but not a sharded one's whole.

        Raises:
            RuntimeError: It is one, and is to be rebased.
        """
        if self._is_own() or not isinstance(self.tangent, nn.Parameter):
            return
        if self.rebase_every is not None and _sharding():
            raise RuntimeError(
                "orthogonal weights cannot be rebased under fully_shard, which writes them at each "
                "forward: set rebase_every=None"
            )
        self._take()

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        own = self._is_own()
        super()._apply(*args, **kwargs)
        if own:
            self._own = (self.tangent,)  # of another device, it may be another object
        return self

    def _count(self) -> None:
        """Counts a step that has been taken since, and rebases where it is due."""
        if not self._is_own():
            return  # torch.func.functional_call's, or sharded: not ours to write to
        if times_written(self.tangent) != self._written:
            self.steps += 1
            if self.rebase_every is not None and int(self.steps) % self.rebase_every == 0:
                self.rebase()
            self._written = times_written(self.tangent)

    @torch.no_grad()
    def rebase(self) -> None:
        """Makes the matrix the base, and the tangent zero; every hundredth time exactly."""
        found = self._evaluate()
        self.rebases += 1
        if int(self.rebases) % _PROJECTED_EVERY == 0:
            wide = torch.promote_types(found.dtype, torch.float32)
            found = nearest_orthogonal(found.to(wide))
        self.base.copy_(found)
        self.tangent.zero_()

    def _save_to_state_dict(self, *args: Any) -> None:
        self._count()  # the next forward would: what goes on from here is the same
        super()._save_to_state_dict(*args)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._take()

    def __getstate__(self) -> dict[str, Any]:
        """Versions are of these tensors, and not of a copy's."""
        self._count()
        return {**self.__dict__, "_kept": None, "_own": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See :meth:`__getstate__`."""
        super().__setstate__(state)
        self._take()

    @torch.no_grad()
    def in_manifold(self, tolerance: float = 1e-5) -> bool:
        """Whether no entry of :math:`U^T U` is further from the identity than the tolerance."""
        u = self().double()
        return bool((u.T @ u - torch.eye(len(u), device=u.device)).abs().max() <= tolerance)

    def extra_repr(self) -> str:
        """The settings as :func:`repr` shows them."""
        return f"{len(self.tangent)}, {self.map}, rebase_every={self.rebase_every}, {self.init}"
