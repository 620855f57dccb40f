"""The one place that picks a backend: of a layer by a table, of one step of a stream."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchmomentum._torch_private import constant_in_graphs, may_need_gradients, plain
from torchmomentum.ops._loop import to_onnx
from torchmomentum.ops._problem import Problem
from torchmomentum.ops.backends import BACKENDS, Backend
from torchmomentum.ops.backends.aten import PERSISTENT_UNITS
from torchmomentum.ops.cells import Cell
from torchmomentum.ops.cpu.isa import chosen
from torchmomentum.ops.cpu.library import computes
from torchmomentum.ops.cpu.step import LARGEST, STEPPED

_FEW = 64  # units up to which ours train faster than PyTorch's without AVX2 too, but an LSTM
_ONEDNNS = range(129, 1024)  # units of an LSTM that oneDNN evaluates faster, with AVX-512
_MANY = 256  # units beyond which PyTorch's large product evaluates packed input faster
_SLOW = ("v2", "neon", "generic")  # instruction sets for which PyTorch's layers have faster kernels
_TRITONS = {  # units of an LSTM that trains faster on Triton than on cuDNN
    torch.float32: range(129, 513),
    torch.float16: range(129, 513),
    torch.bfloat16: range(64, 769),
}
_STEPS = 64  # the fewest that it does so over


@functools.cache  # asked at every call of a layer; Dynamo sees through a cache, not a constant
def _instruction_set() -> str:
    found = chosen()
    return found.name if found else ""


@constant_in_graphs
def instruction_set() -> str:
    """That of our CPU kernels on this processor; empty where there is none."""
    return _instruction_set()


@constant_in_graphs
def in_one_thread() -> bool:
    """Whether PyTorch computes in one thread."""
    return torch.get_num_threads() == 1


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


def _floats_on_cpu(problem: Problem) -> bool:
    return _layer(problem) and problem.x.dtype == torch.float32 and _cpu(problem)


def _faster_in_pytorch(problem: Problem) -> bool:
    few = problem.state[0].shape[-1] <= _FEW
    slow = few and (problem.cell.key != "LSTM" or problem.lengths is not None)
    if slow and may_need_gradients():
        return False
    return _floats_on_cpu(problem) and instruction_set() in _SLOW


def _evaluated_faster(problem: Problem) -> bool:
    if may_need_gradients() or not _floats_on_cpu(problem) or problem.x.shape[0] == 1:
        return False
    units, wide = problem.state[0].shape[-1], instruction_set() != "v3"
    if _unpadded_lstm(problem):
        return wide and (units in _ONEDNNS or in_one_thread())
    if problem.lengths is not None:
        return units > _MANY and in_one_thread()
    return units > _MANY and not wide and problem.cell.key != "GRU"


def _faster_in_bfloat16(problem: Problem) -> bool:
    return (
        problem.x.dtype == torch.bfloat16
        and _cpu(problem)
        and _unpadded_lstm(problem)
        and problem.x.shape[0] > 1
        and instruction_set() == "v4-bf16"
        and (in_one_thread() or not may_need_gradients())
    )


def _trained_faster(problem: Problem) -> bool:
    x, units = problem.x, problem.state[0].shape[-1]
    return (
        _cuda(problem)
        and may_need_gradients()
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
    Choice("loop", "a program that is exported to ONNX", lambda problem: to_onnx()),
    Choice(
        "aten",
        "a layer in float32 on a CPU without AVX2; of up to 64 units GRU, RNN and packed input in "
        "evaluation only",
        _faster_in_pytorch,
    ),
    Choice(
        "aten",
        "a layer in evaluation of more than one step, in float32 on a CPU: with AVX-512 an LSTM of "
        "129 to 1,023 units or in one thread, without lengths; of more than 256 units packed input "
        "in one thread, and without AVX-512 an RNN",
        _evaluated_faster,
    ),
    Choice(
        "aten",
        "an LSTM layer in bfloat16 on a CPU with AVX512-BF16, of more than one step and without "
        "lengths: in evaluation, and in one thread in training",
        _faster_in_bfloat16,
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
    # a sign that is a bit, as of an imaginary part, is not in memory
    return computes(*tensors) and not any([t is not None and t.is_neg() for t in tensors])


def compiled_step_serves_layer(problem: Problem) -> bool:
    """Whether a layer is one step of few rows, for the compiled kernel of one step."""
    time, batch, _ = problem.x.shape
    hh, moments = problem.weight_hh, problem.moments
    if time != 1 or batch * hh.shape[0] > LARGEST or problem.weight_ih is None:
        return False
    if problem.lengths is not None or problem.extra or not problem.modifiers.is_plain():
        return False
    weights = problem.weight_ih, hh, problem.bias_ih, problem.bias_hh
    held = [] if moments is None else [*moments[:2]]
    if problem.velocity is not None:
        held.append(problem.velocity.velocity)
    return compiled_step_serves(problem.cell, (problem.x, *problem.state, *weights, *held))


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
