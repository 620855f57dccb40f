"""Our kernels beside PyTorch's on the same problem: what the table of backends is made from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.ops import BACKENDS, Problem, choose, run
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu.isa import chosen as chosen_set

_BASELINE, _OURS = "aten", {"cpu": "cpu", "cuda": "triton"}
_KINDS = {  # type, and whether sequences are packed
    "float32": (torch.float32, False),
    "packed": (torch.float32, True),
    "bfloat16": (torch.bfloat16, False),
    "float16": (torch.float16, False),  # on a GPU only: PyTorch has none on a CPU
}


def _problem(
    key: str, shape: tuple[int, ...], device: str, dtype: torch.dtype, packed: bool, train: bool
) -> Problem:
    time, batch, inputs, hidden = shape
    cell = find(key)
    rows = cell.gates * hidden

    def drawn(*size: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(size) * scale).to(device, dtype).requires_grad_(train)

    lengths = batch_sizes = None
    if packed:
        lengths = torch.linspace(time, time // 4, batch).long()
        batch_sizes = (torch.arange(time).unsqueeze(1) < lengths).sum(1)  # stays on the CPU
        lengths = lengths.to(device)
    return Problem(
        cell,
        drawn(time, batch, inputs),
        tuple(torch.zeros(batch, hidden, device=device, dtype=dtype) for _ in cell.states),
        drawn(rows, hidden, scale=hidden**-0.5),
        drawn(rows, inputs, scale=inputs**-0.5),
        drawn(rows),
        drawn(rows),
        lengths=lengths,
        batch_sizes=batch_sizes,
    )


def _step(problem: Problem, train: bool, backend: str) -> None:
    with torch.set_grad_enabled(train):
        out = run(problem, backend)[0]
        if train:
            out.sum().backward()


def time_backends(
    item: tuple[Any, ...], *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: a cell at a shape, in training and in evaluation, in each type and packed."""
    key, *shape = item
    ours, found = _OURS[device], {}
    kinds = {name: kind for name, kind in _KINDS.items() if device == "cuda" or name != "float16"}
    for kind, (dtype, packed) in kinds.items():
        for train in (True, False):
            problem = _problem(key, tuple(shape), device, dtype, packed, train)
            steps: dict[str, Callable[[], None]] = {
                name: partial(_step, problem, train, name) for name in (_BASELINE, ours)
            }
            if any(BACKENDS[name].refusal(problem) for name in steps):
                continue
            each = seconds / (2 * len(kinds))
            times = interleave(steps, seconds=each, device=device, tell=tell)
            with torch.set_grad_enabled(train):
                chosen = choose(problem).name
            name = f"{kind}, {'training' if train else 'evaluation'}"
            baseline = times[_BASELINE]["median_ms"]
            found[name] = times[ours] | {"baseline_ms": baseline, "chosen": chosen}
    return {"layers": found, "capability": _capability(device)}


def _capability(device: str) -> str:
    """What PyTorch's kernels use, and ours on a CPU."""
    if device == "cuda":
        return f"cuDNN {torch.backends.cudnn.version()}"
    ours = chosen_set()
    return f"{torch.backends.cpu.get_cpu_capability()}. Ours: {ours.name if ours else 'none'}"
