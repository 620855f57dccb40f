"""What is measured on a GPU: kernels beside their definition and beside cuDNN, cuts, ensembles."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.experiments.bench.layers import (
    ADAPTIVE,
    LINEAR,
    train_step,
    training_steps,
)
from torchmomentum.experiments.bench.peers import ScannedLSTM, installed_peers
from torchmomentum.experiments.bench.shapes import Shape
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.experiments.engine.place import Tell, silent
from torchmomentum.ops import Modifiers, Plan, planned, scan
from torchmomentum.ops.cells import find

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CHECKED = [(1, 1, 1), (7, 3, 33), (20, 40, 128), (12, 5, 200), (9, 33, 500)]  # T, B, H
_TOLERANCES = {"float32": 2e-3, "bfloat16": 3e-2, "float16": 5e-3}  # float32 is TF32's there
# rounding moves a drive over a kink, and the unit's whole gradient comes or goes
_KINKED, _OVER_KINKS = ("RNN_RELU", "RNN_MODRELU"), 0.15
_MEMBERS = (1, 2, 4, 8, 16)


def _draw(
    cell: str, shape: Sequence[int], device: str, dtype: torch.dtype
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    time, batch, hidden = shape
    rows, draw = find(cell).gates * hidden, partial(torch.randn, device=device, dtype=dtype)
    state = tuple(draw(batch, hidden) for _ in find(cell).states)
    weights = [draw(rows, hidden) / hidden**0.5, draw(rows)]
    if cell == "RNN_MODRELU":
        weights.append(draw(hidden))
    return draw(time, batch, rows), state, weights


def _everything(shape: Sequence[int], device: str) -> tuple[Modifiers, Tensor]:
    """Every modifier at once but for normalization, and lengths."""
    time, batch, hidden = shape
    some = partial(torch.rand, device=device)
    modifiers = Modifiers(
        steps=torch.arange(batch, device=device) % 5,
        previous=torch.zeros(batch, hidden, device=device),
        keep_mask=some(batch, hidden) < 0.7,
        zoneout_h=some(time, batch, hidden) < 0.2,
        restart=3,
        keep_scale=1.4,
        rate_c=0.1,
    )
    return modifiers, torch.randint(1, time + 1, (batch,), device=device)


def _error(
    cell: str, shape: Sequence[int], dtype: torch.dtype, device: str, everything: bool
) -> float:
    """The largest relative error, in the norm, of an output or a gradient at one size."""
    pre, state, weights = _draw(cell, shape, device, dtype)
    modifiers, lengths = _everything(shape, device) if everything else (Modifiers(), None)
    tensors = [t.requires_grad_() for t in (pre, *state, *weights)]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    found = []
    for given, backend in ((tensors, "triton"), (exact, "loop")):
        states, recurrent = tuple(given[1 : 1 + len(state)]), given[1 + len(state) :]
        out = scan(cell, given[0], states, recurrent, lengths, modifiers, backend)
        loss = sum(x.double().square().mean() for x in out)
        found.append([*out, *torch.autograd.grad(torch.as_tensor(loss), given)])
    worst = 0.0
    for a, b in zip(*found, strict=True):
        error = ((a.double() - b).norm() / b.norm().clamp_min(1e-30)).item()
        worst = max(worst, error if math.isfinite(error) else math.inf)
    return worst


def check_kernels(
    cell: str,
    *,
    seconds: float,
    device: str,
    tell: Tell = silent,
    shapes: Sequence[Sequence[int]] = _CHECKED,
) -> dict[str, Any]:
    """How far outputs and gradients of a cell are from the definition in float64, by type."""
    found = {}
    for done, (name, dtype) in enumerate(DTYPES.items()):
        tell(name, done, len(DTYPES))
        cases = itertools.product(shapes, (False, True))
        worst = max(_error(cell, shape, dtype, device, every) for shape, every in cases)
        tolerance = _OVER_KINKS if cell in _KINKED else _TOLERANCES[name]
        found[name] = {"error": worst, "right": worst <= tolerance}
    return {"layers": found}


def _typed(item: Sequence[Any]) -> tuple[Shape, torch.dtype]:
    time, batch, inputs, hidden, dtype = item
    return (time, batch, inputs, hidden), DTYPES[dtype]


def time_dtype(
    item: Sequence[Any], *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """Layers of one type at one shape, T, B, I, H and the type; what fails says why."""
    shape, dtype = _typed(item)
    made: dict[str, Callable[..., nn.Module]] = {
        **LINEAR,
        **ADAPTIVE,
        "LSTM, Triton": partial(ScannedLSTM, backend="triton"),
        "eager loop": partial(ScannedLSTM, backend="loop"),
        **installed_peers(device),
    }
    steps = training_steps({}, shape, device, dtype)
    failed = {}
    for name, make in made.items():
        try:
            step = training_steps({name: make}, shape, device, dtype)[name]
            step()
        except Exception as error:  # noqa: BLE001 - a peer may fail in any way, and is reported
            failed[name] = f"{type(error).__name__}: {error}"[:300]
        else:
            steps[name] = step
    slow = {name: steps.pop(name) for name in ("eager loop",) if name in steps}
    found = interleave(steps, seconds=seconds, device=device, tell=tell)
    if slow:
        both = {"nn.LSTM": steps["nn.LSTM"], **slow}
        found |= {"eager loop": interleave(both, seconds=0.1, least=3, device=device)["eager loop"]}
    return {"layers": found, "failed": failed}


def _cuts(hidden: int) -> list[Plan]:
    whole = max(16, 1 << (hidden - 1).bit_length())
    cuts = [
        Plan(rows, units, whole, warps, stationary=True)
        for rows in (16, 32)
        for units in (16, 32, 64, whole)
        for warps in (4, 8)
        if units <= whole
    ]
    cuts += [
        Plan(rows, 32, depth, 8, stationary=False) for rows in (16, 32, 64) for depth in (32, 64)
    ]
    return list(dict.fromkeys(cuts))


def time_plans(
    item: Sequence[Any], *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """Forward and backward of an LSTM's recurrence under each cut into programs."""
    shape, dtype = _typed(item)
    time, batch, _, hidden = shape
    pre, state, weights = _draw("LSTM", (time, batch, hidden), device, dtype)
    pre.requires_grad_()

    def step(cut: Plan | None) -> None:
        with contextlib.nullcontext() if cut is None else planned(cut):
            scan("LSTM", pre, state, weights, backend="triton")[0].sum().backward()

    steps: dict[str, Callable[[], None]] = {"as planned": partial(step, None)}
    failed = {}
    for cut in _cuts(hidden):
        name = f"{cut.block_b}x{cut.block_n}x{cut.block_k}, {cut.warps} warps"
        try:
            step(cut)
        except Exception as error:  # noqa: BLE001 - what does not fit the device is reported
            failed[name] = f"{type(error).__name__}: {error}"[:120]
        else:
            steps[name] = partial(step, cut)
    found = interleave(steps, seconds=seconds, least=5, device=device, tell=tell)
    return {"layers": found, "failed": failed}


def time_ensembles(
    shape: Shape, *, seconds: float, device: str, tell: Tell = silent
) -> dict[str, Any]:
    """A training step of several members in one launch, beside one after the other."""
    time, batch, inputs, hidden = shape
    make = ADAPTIVE["AdamLSTM"]
    x = torch.randn(time, batch, inputs, device=device)
    steps: dict[str, Callable[[], None]] = {}
    for count in _MEMBERS:
        layers = [make(inputs, hidden, device=device) for _ in range(count)]
        parameters, _ = torch.func.stack_module_state(layers)

        def loss(values: dict[str, Tensor], layer: nn.Module = layers[0]) -> Tensor:
            out: Tensor = torch.func.functional_call(layer, values, (x,))[0]
            return out[-1].sum()

        def apart(layers: list[nn.Module] = layers) -> None:
            for layer in layers:
                train_step(layer, x)

        together = torch.func.vmap(torch.func.grad(loss))
        steps[f"{count} apart"] = apart
        steps[f"{count} together"] = partial(together, parameters)
    return {"layers": interleave(steps, seconds=seconds, device=device, tell=tell)}
