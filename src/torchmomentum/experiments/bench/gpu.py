"""All that is to be measured on a GPU, in one go of less than ten minutes.

Five files: whether the kernels are right, what each costs beside cuDNN's LSTM in three types, what
other cuts into programs would cost, what an ensemble costs in one launch, the papers' tables.
"""

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
    SHAPES,
    Shape,
    train_step,
    training_steps,
)
from torchmomentum.experiments.bench.papers import PMNIST, measure_papers
from torchmomentum.experiments.bench.peers import ScannedLSTM, installed_peers
from torchmomentum.experiments.bench.timing import interleave
from torchmomentum.ops import Modifiers, Plan, planned, scan
from torchmomentum.ops.cells import find
from torchmomentum.ops.triton.launch import CELLS

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LONG: Shape = (1024, 16, 768, 768)  # what FlashRNN is measured at
_CHECKED = [(1, 1, 1), (7, 3, 33), (20, 40, 128), (12, 5, 200), (9, 33, 500)]  # T, B, H
_TOLERANCES = {torch.float32: 2e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}  # tf32 products
_MEMBERS = (1, 2, 4, 8, 16)


def _draw(
    mode: str, shape: Sequence[int], device: str, dtype: torch.dtype
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    time, batch, hidden = shape
    rows, draw = find(mode).gates * hidden, partial(torch.randn, device=device, dtype=dtype)
    state = tuple(draw(batch, hidden) for _ in range(2 if mode == "LSTM" else 1))
    weights = [draw(rows, hidden) / hidden**0.5, draw(rows)]
    if mode == "RNN_MODRELU":
        weights.append(draw(hidden))
    return draw(time, batch, rows), state, weights


def _everything(shape: Sequence[int], device: str) -> tuple[Modifiers, Tensor]:
    """Every option at once but for normalization, and lengths."""
    time, batch, hidden = shape
    some = partial(torch.rand, device=device)
    options = Modifiers(
        steps=torch.arange(batch, device=device) % 5,
        previous=torch.zeros(batch, hidden, device=device),
        keep_mask=some(batch, hidden) < 0.7,
        zoneout_h=some(time, batch, hidden) < 0.2,
        restart=3,
        keep_scale=1.4,
        rate_c=0.1,
    )
    return options, torch.randint(1, time + 1, (batch,), device=device)


def check_kernels(device: str, shapes: Sequence[Sequence[int]] = _CHECKED) -> list[dict[str, Any]]:
    """How far outputs and gradients are from the definition in float64, for each cell and type."""
    rows = []
    for mode in CELLS:
        for dtype in DTYPES:
            worst = 0.0
            for shape, besides in itertools.product(shapes, (False, True)):
                pre, state, weights = _draw(mode, shape, device, dtype)
                options, lengths = _everything(shape, device) if besides else (Modifiers(), None)
                tensors = [t.requires_grad_() for t in (pre, *state, *weights)]
                exact = [t.detach().double().requires_grad_() for t in tensors]
                found = []
                for given, backend in ((tensors, "triton"), (exact, "loop")):
                    states = tuple(given[1 : 1 + len(state)])
                    recurrent = given[1 + len(state) :]
                    out = scan(mode, given[0], states, recurrent, lengths, options, backend)
                    loss = sum(x.double().square().mean() for x in out)
                    grads = torch.autograd.grad(torch.as_tensor(loss), given)
                    found.append([*out, *grads])
                for a, b in zip(*found, strict=True):
                    scale = max(b.abs().max().item(), 1e-30)
                    error = (a.double() - b).abs().max().item() / scale
                    worst = max(worst, error if math.isfinite(error) else math.inf)
            right = worst <= _TOLERANCES[dtype]
            rows.append({"mode": mode, "dtype": str(dtype), "error": worst, "right": right})
    return rows


def time_dtype(shape: Shape, dtype: torch.dtype, *, seconds: float, device: str) -> dict[str, Any]:
    """One row: layers of one type at one shape; what fails says why."""
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
    found = interleave(steps, seconds=seconds, device=device)
    if slow:
        both = {"nn.LSTM": steps["nn.LSTM"], **slow}
        found |= {"eager loop": interleave(both, seconds=0.1, least=3, device=device)["eager loop"]}
    return {"shape": list(shape), "dtype": str(dtype), "layers": found, "failed": failed}


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


def time_plans(shape: Shape, dtype: torch.dtype, *, seconds: float, device: str) -> dict[str, Any]:
    """One row: forward and backward of an LSTM's recurrence under each cut into programs."""
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
    found = interleave(steps, seconds=seconds, least=5, device=device)
    return {"shape": list(shape), "dtype": str(dtype), "layers": found, "failed": failed}


def time_ensembles(shape: Shape, *, seconds: float, device: str) -> dict[str, Any]:
    """One row: a training step of several members in one launch, beside one after the other."""
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
    return {"shape": list(shape), "layers": interleave(steps, seconds=seconds, device=device)}


def measure_gpu(
    write: Callable[[str, dict[str, Any]], None],
    *,
    seconds: float,
    device: str = "cuda",
    shapes: Sequence[Shape] = (*SHAPES, LONG),
) -> None:
    """Measures all, handing each part over as soon as it is there.

    Args:
        write: Takes a name and the results of one part.
        seconds: For each comparison, about.
        device: ``cuda``; the tests use another.
        shapes: T, B, I, H.
    """
    write("correctness", {"rows": check_kernels(device)})
    rows = []
    for shape in shapes:
        for dtype in DTYPES:
            rows.append(time_dtype(shape, dtype, seconds=seconds, device=device))
            write("layers", {"rows": rows})
    plans = [
        time_plans(shape, dtype, seconds=seconds, device=device)
        for shape in shapes[1:4:2]
        for dtype in DTYPES[:2]
    ]
    write("plans", {"rows": plans})
    write("ensembles", {"rows": [time_ensembles(shapes[0], seconds=seconds, device=device)]})
    write("papers", {"rows": [measure_papers(PMNIST, seconds=seconds, device=device)]})
