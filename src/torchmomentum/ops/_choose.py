"""The one place that picks a backend: of a layer by a table, of one step of a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchmomentum._torch_private import constant_in_graphs, plain
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.backends import BACKENDS, Backend
from torchmomentum.ops.backends.aten import PERSISTENT_UNITS
from torchmomentum.ops.cells import Cell
from torchmomentum.ops.cpu.library import available
from torchmomentum.ops.cpu.step import STEPPED

_PLAIN = (Tensor, torch.nn.Parameter)  # a subclass may have no memory of its own
_FEW = 64  # units up to which ours train faster than PyTorch's without AVX-512 too, but an LSTM
_ONEDNNS = range(129, 1024)  # units of an LSTM that oneDNN evaluates faster, with AVX-512 too
_TRITONS = {  # units of an LSTM that trains faster on Triton than on cuDNN
    torch.float32: range(129, 513),
    torch.float16: range(129, 513),
    torch.bfloat16: range(64, 769),
}
_STEPS = 64  # the fewest that it does so over


@constant_in_graphs
def has_avx512() -> bool:
    """Whether the processor has AVX-512, and PyTorch's kernels may use it.

    ``ATEN_CPU_CAPABILITY`` and ``ONEDNN_MAX_CPU_ISA`` can forbid it.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return ("AVX512" in capability or "AMX" in capability) and (
        not most or "AVX512" in most or most in ("ALL", "DEFAULT") or "AVX10" in most
    )


class Choice(NamedTuple):
    """A row of the table: the backend runs what it serves, where the condition holds.

    Attributes:
        backend: The backend's name.
        condition: When, in words: for the documentation.
        holds: The same as a function.
    """

    backend: str
    condition: str
    holds: Callable[[Problem], bool]


def _layer(problem: Problem) -> bool:
    return problem.weight_ih is not None


def _unpadded_lstm(problem: Problem) -> bool:
    return problem.cell.key == "LSTM" and _layer(problem) and problem.lengths is None


def _faster_in_pytorch(problem: Problem) -> bool:
    few = problem.state[0].shape[-1] <= _FEW
    slow = few and (problem.cell.key != "LSTM" or problem.lengths is not None)
    if slow and torch.is_grad_enabled():
        return False
    return (
        _layer(problem) and problem.x.dtype == torch.float32 and _cpu(problem) and not has_avx512()
    )


def _evaluated_faster(problem: Problem) -> bool:
    return (
        not torch.is_grad_enabled()
        and _unpadded_lstm(problem)
        and problem.x.dtype == torch.float32
        and _cpu(problem)
        and problem.x.shape[0] > 1
        and problem.state[0].shape[-1] in _ONEDNNS
    )


def _trained_faster(problem: Problem) -> bool:
    x, units = problem.x, problem.state[0].shape[-1]
    return (
        _cuda(problem)
        and torch.is_grad_enabled()
        and _unpadded_lstm(problem)
        and not torch.compiler.is_compiling()  # the steps may have no number there
        and x.shape[0] >= _STEPS
        and units in _TRITONS.get(x.dtype, ())
        and (x.dtype != torch.float16 or units % PERSISTENT_UNITS != 0)
    )


def _cpu(problem: Problem) -> bool:
    return problem.x.device.type == "cpu"


def _cuda(problem: Problem) -> bool:
    return problem.x.device.type == "cuda"


def _always(problem: Problem) -> bool:
    return True


# the first row that holds, and whose backend serves the problem, is taken
CHOICES = (
    Choice(
        "aten",
        "a layer in float32 on a CPU without AVX-512; of up to 64 units GRU, RNN and packed input "
        "in evaluation only",
        _faster_in_pytorch,
    ),
    Choice(
        "aten",
        "an LSTM layer of 129 to 1,023 units, in evaluation of more than one step, in float32 on a "
        "CPU, without lengths",
        _evaluated_faster,
    ),
    Choice("cpu", "a CPU", _cpu),
    Choice(
        "triton",
        "an LSTM layer in training of 64 steps or more on CUDA, without lengths: of 129 to 512 "
        "units, in bfloat16 of 64 to 768, in float16 of no multiple of 128",
        _trained_faster,
    ),
    Choice("aten", "a layer, from its input on", _layer),
    Choice("triton", "CUDA", _cuda),
    Choice("eager", "always", _always),
    Choice("definition", "always", _always),
)


def compiled_step_serves(cell: Cell, tensors: Sequence[Tensor | None]) -> bool:
    """Whether one step of a stream is the compiled kernel's: float32 on a CPU, no gradient asked.

    Args:
        cell: What is stepped.
        tensors: Drive, states and weights.
    """
    if (
        cell.key not in STEPPED
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
        or not plain()
    ):
        return False
    for t in tensors:
        if t is not None and (t.dtype != torch.float32 or not t.is_cpu or type(t) not in _PLAIN):
            return False
    return available()


def choose(problem: Problem, backend: str | None = None) -> Backend:
    """The backend for a problem.

    Args:
        problem: What there is to compute.
        backend: The name of the one to take; None for that of the table.

    Raises:
        ValueError: There is no such backend, or it does not serve the problem.
    """
    if backend is None:
        for choice in CHOICES:
            if choice.holds(problem):
                found = BACKENDS[choice.backend]
                if not found.refusal(problem):
                    return found
    names = ", ".join(BACKENDS)
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {names} or None, got {backend!r}")
    found = BACKENDS[backend]
    reason = found.refusal(problem)
    if reason:
        x = problem.x
        raise ValueError(
            f"backend {backend!r} serves {found.serves_what}; got {problem.cell.name} of "
            f"{x.dtype} on {x.device}: {reason}"
        )
    return found
