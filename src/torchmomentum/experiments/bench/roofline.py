"""What the machine can do at most, measured, and what a training step of an LSTM asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from torchmomentum.ops import available, product


def _best(function: Callable[[], object], device: str, seconds: float = 0.5) -> float:
    """The shortest time of one call, in seconds; a call longer than ``seconds`` is made once."""
    times: list[float] = []
    began = time.perf_counter()
    while not times or time.perf_counter() - began < seconds:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def ceilings(device: str, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """The highest rates seen here: products in operations, copies in bytes, each per second."""
    side = 8192 if device == "cuda" else 1536
    a, b = torch.randn(2, side, side, device=device)
    c, bias = torch.empty_like(a), a.new_zeros(side)
    x, y, z = a.to(dtype), b.to(dtype), c.to(dtype)
    products: list[Callable[[], object]] = [lambda: torch.mm(x, y, out=z)]
    if device == "cpu" and available():
        products.append(lambda: product(c, a, b, bias, dtype == torch.bfloat16))
    flat = torch.empty(2**26, device=device)
    copy = torch.empty_like(flat)
    return {
        "operations_per_s": 2 * side**3 / min(_best(multiply, device) for multiply in products),
        "bytes_per_s": 8 * flat.numel() / _best(lambda: copy.copy_(flat), device),
    }


def lstm_training_cost(
    shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float32
) -> dict[str, int]:
    """What a training step cannot do without: its products, and each array written and read once.

    Args:
        shape: T, B, I, H. The gradient of the input is not asked for.
        dtype: What the arrays are of.

    Returns:
        Operations (a multiplication and an addition are two) and bytes.
    """
    time_steps, batch, inputs, hidden = shape
    rows = time_steps * batch
    recurrent, from_input = rows * 4 * hidden * hidden, rows * 4 * hidden * inputs
    arrays = rows * (4 * hidden + 2 * hidden) + rows * inputs  # gates, states, input
    return {
        "operations": 2 * (3 * recurrent + 2 * from_input),
        "bytes": 2 * dtype.itemsize * arrays,
    }
