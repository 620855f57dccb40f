"""What a backend is, and how one of pre-activations runs a whole layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from torchmomentum._tuples import changed
from torchmomentum.ops._lengths import steps_alive
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.cells import State
from torchmomentum.ops.filters.adam import adam_scan


class Backend(NamedTuple):
    """One way to compute a problem.

    Attributes:
        name: What it is called.
        serves_what: What it serves, for a message.
        refusal: Why it does not serve a problem; empty where it does.
        run: Computes the outputs, the last state, and with moments the last of these.
    """

    name: str
    serves_what: str
    refusal: Callable[[Problem], str]
    run: Callable[[Problem], State]

    def serves(self, problem: Problem) -> bool:
        """Whether it computes this problem."""
        return not self.refusal(problem)


def everything(problem: Problem) -> str:
    """Refuses nothing."""
    return ""


def over_preactivations(run: Callable[[Problem], State]) -> Callable[[Problem], State]:
    """Has a backend of pre-activations run whole layers: they and Adam's rule are made first."""

    def whole(problem: Problem) -> State:
        if problem.weight_ih is None and problem.bias_ih is None and problem.moments is None:
            problem.check()
            return run(problem)
        drive, last = _preactivations(problem)
        problem = changed(problem, x=drive, weight_ih=None, bias_ih=None, moments=None)
        problem = problem.to(drive.dtype)
        problem.check()
        return *run(problem), *last

    return whole


def _preactivations(problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the cell reads of the input, ``(T, B, G H)``, and a rule's last moments."""
    drive, bias = problem.x, problem.bias_ih
    if problem.weight_ih is not None:
        drive = linear(drive, problem.weight_ih, bias)
    elif bias is not None:
        drive = drive + bias
    if problem.moments is None:
        return drive, ()
    velocity, rms, mu, gain, beta, eps, _ = problem.moments
    mask = None if problem.lengths is None else steps_alive(len(drive), problem.lengths)
    # half precision is filtered in float32: a velocity sums many small terms
    wide = drive.to(torch.promote_types(drive.dtype, torch.float32))
    y, *last = adam_scan(wide, velocity, rms, mu=mu, gain=gain, beta=beta, eps=eps, mask=mask)
    return y.to(drive.dtype), tuple(last)
