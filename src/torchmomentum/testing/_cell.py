"""What users of ``torch.nn.LSTMCell`` rely on, as checks of any one-step cell."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.testing._contract import (
    Contract,
    draw,
    require,
    require_close,
    require_error,
    tensors,
)

MakeCell = Callable[..., nn.Module]
Carried = tuple[Any, ...]  # what a cell is given beside its input
CONTRACT = Contract()

_T, _B, _I, _H = 5, 3, 4, 6


def _cell(make: MakeCell, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(_I, _H, dtype=torch.float64, **options)


def _advance(cell: nn.Module, x: Tensor, carried: Carried) -> tuple[Tensor, Carried]:
    """The output of a step and what the next step is given, in torch's form or in ours."""
    found = cell(x, *carried)
    if isinstance(found, Tensor):  # torch.nn.GRUCell
        return found, (found,)
    if len(found) == 2:  # torch.nn.LSTMCell
        return found[0], (found,)
    return found[0], tuple(found[1:])  # (out, hidden, v)


def _stream(cell: nn.Module, xs: Tensor) -> tuple[Tensor, Carried]:
    carried: Carried = ()
    outputs = []
    for x in xs:
        out, carried = _advance(cell, x, carried)
        outputs.append(out)
    return torch.stack(outputs), carried


@CONTRACT.check
def _shapes(make: MakeCell) -> None:
    for bias in (True, False):
        out, carried = _advance(_cell(make, bias=bias), draw(_B, _I), ())
        require(tuple(out.shape) == (_B, _H), f"output {list(out.shape)} with bias={bias}")
        for part in tensors(carried):
            require(part.shape[0] == _B, f"state {list(part.shape)} with bias={bias}")


@CONTRACT.check
def _bias(make: MakeCell) -> None:
    with_bias, without = _cell(make), _cell(make, bias=False)
    with torch.no_grad():
        for name, p in with_bias.named_parameters():
            if "bias" in name:
                p.zero_()
    without.load_state_dict(with_bias.state_dict(), strict=False)
    xs = draw(_T, _B, _I)
    require_close(_stream(with_bias, xs)[0], _stream(without, xs)[0], "biases of zero", 1e-12)


@CONTRACT.check
def _starts_from_zero(make: MakeCell) -> None:
    cell, x = _cell(make), draw(_B, _I)
    out, carried = _advance(cell, x, ())
    zeros = _like(carried)
    again, _ = _advance(cell, x, zeros)
    require_close(again, out, "a state of zeros", 1e-12)


def _like(value: Any) -> Any:
    """The same structure, filled with zeros."""
    if isinstance(value, Tensor):
        return torch.zeros_like(value)
    parts = [_like(part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


@CONTRACT.check
def _sequences_are_independent(make: MakeCell) -> None:
    cell, xs = _cell(make), draw(_T, _B, _I)
    out, _ = _stream(cell, xs)
    for i in range(_B):
        alone, _ = _stream(cell, xs[:, i : i + 1])
        require_close(out[:, i : i + 1], alone, f"sequence {i} alone")


@CONTRACT.check
def _reads_its_state(make: MakeCell) -> None:
    cell, xs = _cell(make), draw(_T, _B, _I)
    _, carried = _advance(cell, xs[0], ())
    moved = (_advance(cell, xs[1], carried)[0] - _advance(cell, xs[1], ())[0]).abs()
    require(bool((moved > 1e-6).any()), "the state has no effect on the next step")


@CONTRACT.check
def _gradients(make: MakeCell) -> None:
    torch.manual_seed(0)
    cell = make(2, 2, dtype=torch.float64)
    names = [name for name, _ in cell.named_parameters()]

    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, xs: Tensor) -> Tensor:
            return _stream(self.cell, xs)[0]

    stream = Stream()

    def run(xs: Tensor, *values: Tensor) -> Tensor:
        parameters = {f"cell.{n}": v for n, v in zip(names, values, strict=True)}
        out: Tensor = torch.func.functional_call(stream, parameters, (xs,))
        return out

    values = [p.detach().clone().requires_grad_() for p in cell.parameters()]
    xs = draw(3, 2, 2).requires_grad_()
    torch.autograd.gradcheck(run, (xs, *values))
    torch.autograd.gradgradcheck(run, (xs, *values), fast_mode=True)


@CONTRACT.check
def _without_gradients(make: MakeCell) -> None:
    cell, xs = _cell(make), draw(_T, _B, _I)
    expected, _ = _stream(cell, xs)
    with torch.no_grad():
        require_close(_stream(cell, xs)[0], expected, "under no_grad", 1e-12)


@CONTRACT.check
def _copies(make: MakeCell) -> None:
    cell, xs = _cell(make), draw(_T, _B, _I)
    out, _ = _stream(cell, xs)
    again = _cell(make)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    again.load_state_dict(cell.state_dict())
    copied = {"state_dict": again, "deepcopy": copy.deepcopy(cell)}
    copied["pickle"] = pickle.loads(pickle.dumps(cell))
    for name, other in copied.items():
        require_close(_stream(other, xs)[0], out, name, 0.0)


@CONTRACT.check
def _leaves_its_input(make: MakeCell) -> None:
    cell, xs = _cell(make), draw(_T, _B, _I)
    _, carried = _advance(cell, xs[0], ())
    with torch.no_grad():
        before = [t.clone() for t in (xs, *tensors(carried))]
        _advance(cell, xs[1], carried)
    require_close([xs, *tensors(carried)], before, "input or state were changed", 0.0)


@CONTRACT.check
def _types(make: MakeCell) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        cell = make(_I, _H, dtype=dtype)
        out, _ = _stream(cell, draw(_T, _B, _I).to(dtype))
        require(out.dtype == dtype, f"output of {out.dtype} for {dtype}")
        require(bool(out.isfinite().all()), f"not finite in {dtype}")
        out.float().sum().backward()
        for name, p in cell.named_parameters():
            require(p.grad is not None and p.grad.dtype == dtype, f"gradient of {name}")


@CONTRACT.check
def _meta_device(make: MakeCell) -> None:
    cell = make(_I, _H, device="meta")
    require(all(p.is_meta for p in cell.parameters()), "parameters are not on the meta device")
    cell = cell.to_empty(device="cpu")
    torch.manual_seed(0)
    cell.reset_parameters()  # type: ignore[operator]
    torch.manual_seed(0)
    for p, q in zip(cell.parameters(), make(_I, _H).parameters(), strict=True):
        require(torch.equal(p, q), "reset_parameters draws other values than construction")


@CONTRACT.check
def _wrong_arguments(make: MakeCell) -> None:
    cell = _cell(make)
    require_error(lambda: cell(draw(_B, _I + 1)), "input of another size")
    require_error(lambda: cell(draw(_T, _B, _I)), "input of rank 3")
    require_error(lambda: cell(draw(_B, _I).float()), "input of another type")
    _, carried = _advance(cell, draw(_B, _I), ())
    require_error(lambda: cell(draw(_B + 1, _I), *carried), "state of another batch")


def check_cell(make: MakeCell, *, skip: Sequence[str] = ()) -> list[str]:
    """Tests a one-step cell on what users of ``torch.nn.LSTMCell`` and ``GRUCell`` rely on.

    A cell returns ``h``, ``(h, c)``, or as ours do ``(out, hidden, v)``, and takes what it returned
    in the next step. Checked are shapes, the first state, independent sequences, streaming, first
    and second derivatives, copies, types, the meta device, and errors.

    Args:
        make: ``make(input_size, hidden_size, **options)``, the cell; options as in ``torch.nn``.
        skip: Checks to leave out, by name.

    Returns:
        The names of the checks that ran.

    Raises:
        ContractError: A check fails; the message names it.
        ValueError: ``skip`` names no check.

    Example:
        >>> from torchmomentum.nn import MomentumLSTMCell
        >>> "copies" in check_cell(MomentumLSTMCell, skip=["gradients"])
        True
    """
    return CONTRACT.run(make, skip)
