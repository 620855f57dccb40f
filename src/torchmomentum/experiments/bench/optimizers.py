"""A step of SRSGD beside ``torch.optim.SGD`` with Nesterov's momentum, of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from torchmomentum.experiments.bench.peers import PublishedSRSGD
from torchmomentum.experiments.bench.shapes import TENSOR_SETS
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.optim import SRSGD

_WIDTHS = ((64, 64, 4), (64, 128, 4), (128, 256, 4), (256, 512, 4))  # in, out, 3x3 convolutions
RESNET18: list[tuple[int, ...]] = [
    (64, 3, 7, 7),
    *((out, before if i == 0 else out, 3, 3) for before, out, n in _WIDTHS for i in range(n)),
    *((out, before, 1, 1) for before, out, _ in _WIDTHS[1:]),
    *((width,) for _, width, n in _WIDTHS for _ in range(2 * n)),
    *((width,) for width in (128, 256, 512) for _ in range(2)),
    (64,),
    (64,),
    (1000, 512),
    (1000,),
]
SETS: dict[str, list[tuple[int, ...]]] = {
    TENSOR_SETS[0]: RESNET18,
    TENSOR_SETS[1]: [(31, 30)] * 500,
}
_SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
_SRSGD = partial(SRSGD, lr=0.01, restart_every=40, weight_decay=5e-4)
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD foreach": partial(_SGD, foreach=True),
    "SRSGD foreach": partial(_SRSGD, foreach=True),
    "SGD loop": partial(_SGD, foreach=False),
    "SRSGD loop": partial(_SRSGD, foreach=False),
    "SGD fused": partial(_SGD, fused=True),
    "SRSGD fused": partial(_SRSGD, fused=True),
    "published loop": partial(PublishedSRSGD, lr=0.01, restart_every=40, weight_decay=5e-4),
}


def _parameters(shapes: list[tuple[int, ...]], device: str) -> list[torch.nn.Parameter]:
    params = [torch.nn.Parameter(torch.randn(shape, device=device)) for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    return params


def time_compiled(name: str, *, seconds: float, device: str, tell: Tell = silent) -> dict[str, Any]:
    """One row: steps under ``torch.compile``, and ours of one pass over memory beside them."""
    made: dict[str, Callable[..., torch.optim.Optimizer]]
    made = {"SGD compiled": _SGD, "SRSGD compiled": _SRSGD}
    steps: dict[str, Callable[[], object]] = {}
    for key, make in made.items():
        step: Any = torch.compile(make(_parameters(SETS[name], device)).step)
        step()  # the first step has a graph of its own
        step()
        steps[key] = step
    steps["SRSGD fused"] = OPTIMIZERS["SRSGD fused"](_parameters(SETS[name], device)).step
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}


def time_optimizers(
    name: str, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """One row: the optimizers on one set of tensors."""
    functions = {
        key: make(_parameters(SETS[name], device)).step for key, make in OPTIMIZERS.items()
    }
    found = interleave(functions, seconds=seconds, device=device, tell=tell)
    for key in ("foreach", "loop", "fused"):
        ours, theirs = found[f"SRSGD {key}"], found[f"SGD {key}"]
        ours["ratio_to_same_kind"] = ours["median_ms"] / theirs["median_ms"]
        ours["speed_up"] = found["published loop"]["median_ms"] / ours["median_ms"]
    return {"layers": found}
