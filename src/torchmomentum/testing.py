"""The contract of a recurrent layer and of an optimizer, for anyone's own.

:func:`check_rnn` holds a layer to what users of ``torch.nn.LSTM`` rely on, :func:`check_optimizer`
an optimizer to what users of ``torch.optim.SGD`` do. Both run on the originals too, as a control.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["ContractError", "check_optimizer", "check_rnn"]

MakeLayer = Callable[..., nn.Module]
MakeOptimizer = Callable[..., torch.optim.Optimizer]
Check = TypeVar("Check", bound=Callable[..., None])

_T, _B, _I, _H = 5, 3, 4, 6


class ContractError(AssertionError):
    """Something does not hold. The message names the check."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


def _require_close(found: Any, expected: Any, message: str, tolerance: float = 1e-10) -> None:
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    for a, b in pairs:
        _require(a.shape == b.shape, f"{message}: shape {list(b.shape)}, got {list(a.shape)}")
        worst = (a - b).abs().max().item() if a.numel() else 0.0
        _require(worst <= tolerance, f"{message}: differs by {worst:.3g}")


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in _tensors(part)]


def _require_error(action: Callable[[], object], message: str) -> None:
    try:
        action()
    except (RuntimeError, TypeError, ValueError, IndexError):
        return
    raise ContractError(f"{message}: no error was raised")


def _run(name: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ContractError as error:
        raise ContractError(f"{name}: {error}") from error
    except Exception as error:
        raise ContractError(f"{name}: {type(error).__name__}: {error}") from error


def _run_all(
    checks: dict[str, Callable[..., None]], arguments: tuple[Any, ...], skip: Sequence[str]
) -> list[str]:
    unknown = set(skip) - set(checks)
    if unknown:
        raise ValueError(f"skip names unknown checks {sorted(unknown)}; known: {', '.join(checks)}")
    ran = [name for name in checks if name not in skip]
    for name in ran:
        _run(name, partial(checks[name], *arguments))
    return ran


# --- recurrent layers ---------------------------------------------------------------------------

_RNN_CHECKS: dict[str, Callable[..., None]] = {}
_OPTIMIZER_CHECKS: dict[str, Callable[..., None]] = {}


def _enter(table: dict[str, Callable[..., None]]) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        table[check.__name__.removeprefix("_")] = check
        return check

    return keep


def _layer(make: MakeLayer, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(_I, _H, dtype=torch.float64, **options)


def _input(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


_EVERY = [
    {"num_layers": layers, "bidirectional": two, "bias": bias}
    for layers in (1, 2)
    for two in (False, True)
    for bias in (True, False)
]


@_enter(_RNN_CHECKS)
def _shapes(make: MakeLayer) -> None:
    for options in _EVERY:
        layer = _layer(make, **options)
        out, state = layer(_input(_T, _B, _I))
        directions = 2 if options["bidirectional"] else 1
        _require(
            tuple(out.shape) == (_T, _B, directions * _H),
            f"output {list(out.shape)} for {options}",
        )
        expected = (int(options["num_layers"]) * directions, _B, _H)
        for s in _tensors(state):
            _require(tuple(s.shape) == expected, f"state {list(s.shape)} for {options}")


@_enter(_RNN_CHECKS)
def _batch_first(make: MakeLayer) -> None:
    for options in _EVERY:
        x = _input(_T, _B, _I)
        out, state = _layer(make, **options)(x)
        other, other_state = _layer(make, batch_first=True, **options)(x.transpose(0, 1))
        _require_close(other.transpose(0, 1), out, f"output for {options}")
        _require_close(other_state, state, f"state for {options}")


@_enter(_RNN_CHECKS)
def _unbatched(make: MakeLayer) -> None:
    for options in _EVERY:
        layer, x = _layer(make, **options), _input(_T, _B, _I)
        out, state = layer(x)
        alone, alone_state = layer(x[:, 1])
        _require_close(alone, out[:, 1], f"output for {options}")
        _require_close(alone_state, [s[:, 1] for s in _tensors(state)], f"state for {options}")


@_enter(_RNN_CHECKS)
def _packed(make: MakeLayer) -> None:
    lengths = torch.tensor([2, _T, 1])
    for options in _EVERY:
        layer, x = _layer(make, **options), _input(_T, _B, _I)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, state = layer(packed)
        padded, found = pad_packed_sequence(out, total_length=_T)
        _require(torch.equal(found, lengths), f"lengths {found.tolist()} for {options}")
        for i, length in enumerate(lengths.tolist()):
            alone, alone_state = layer(x[:length, i])
            _require_close(padded[:length, i], alone, f"sequence {i} for {options}")
            _require_close([s[:, i] for s in _tensors(state)], alone_state, f"state for {options}")


@_enter(_RNN_CHECKS)
def _goes_on(make: MakeLayer) -> None:
    for bias in (True, False):
        layer, x = _layer(make, num_layers=2, bias=bias), _input(_T, _B, _I)
        start = getattr(layer, "initial_state", lambda batch: None)(_B)
        whole, _ = layer(x, start)
        for cut in range(1, _T):
            first, state = layer(x[:cut], start)
            second, _ = layer(x[cut:], state)
            _require_close(torch.cat([first, second]), whole, f"cut at {cut}")


@_enter(_RNN_CHECKS)
def _gradients(make: MakeLayer) -> None:
    for options in ({}, {"num_layers": 2, "bidirectional": True}):
        torch.manual_seed(0)
        layer = make(2, 2, dtype=torch.float64, **options)
        names = [name for name, _ in layer.named_parameters()]

        def run(
            x: Tensor, *values: Tensor, layer: nn.Module = layer, names: list[str] = names
        ) -> tuple[Tensor, ...]:
            parameters = dict(zip(names, values, strict=True))
            return tuple(_tensors(torch.func.functional_call(layer, parameters, (x,))))

        values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
        x = _input(3, 2, 2).requires_grad_()
        torch.autograd.gradcheck(run, (x, *values))
        torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


@_enter(_RNN_CHECKS)
def _copies(make: MakeLayer) -> None:
    layer, x = _layer(make, num_layers=2), _input(_T, _B, _I)
    out, _ = layer(x)
    again = _layer(make, num_layers=2)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    again.load_state_dict(layer.state_dict())
    for name, other in {
        "state_dict": again,
        "deepcopy": copy.deepcopy(layer),
        "pickle": pickle.loads(pickle.dumps(layer)),
    }.items():
        _require_close(other(x)[0], out, name, 0.0)


@_enter(_RNN_CHECKS)
def _leaves_its_input(make: MakeLayer) -> None:
    layer, x = _layer(make), _input(_T, _B, _I)
    before = x.clone()
    layer(x)
    _require(torch.equal(x, before), "the input was changed")


@_enter(_RNN_CHECKS)
def _types(make: MakeLayer) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        layer = make(_I, _H, dtype=dtype)
        out, _ = layer(_input(_T, _B, _I).to(dtype))
        _require(out.dtype == dtype, f"output of {out.dtype} for {dtype}")
        _require(bool(out.isfinite().all()), f"not finite in {dtype}")
        out.float().sum().backward()
        for name, p in layer.named_parameters():
            _require(p.grad is not None and p.grad.dtype == dtype, f"gradient of {name}")


@_enter(_RNN_CHECKS)
def _non_contiguous(make: MakeLayer) -> None:
    layer = _layer(make)
    x = _input(_B, _T, _I).transpose(0, 1)
    _require_close(layer(x)[0], layer(x.contiguous())[0], "non-contiguous input", 1e-12)


@_enter(_RNN_CHECKS)
def _meta_device(make: MakeLayer) -> None:
    layer = make(_I, _H, device="meta")
    _require(all(p.is_meta for p in layer.parameters()), "parameters are not on the meta device")
    layer = layer.to_empty(device="cpu")
    torch.manual_seed(0)
    layer.reset_parameters()  # type: ignore[operator]
    torch.manual_seed(0)
    for p, q in zip(layer.parameters(), make(_I, _H).parameters(), strict=True):
        _require(torch.equal(p, q), "reset_parameters draws other values than construction")


@_enter(_RNN_CHECKS)
def _refusals(make: MakeLayer) -> None:
    layer = _layer(make)
    _require_error(lambda: layer(_input(0, _B, _I)), "no steps")
    _require_error(lambda: layer(_input(_T, _B, _I + 1)), "input of another size")
    _require_error(lambda: layer(_input(1, _T, _B, _I)), "input of rank 4")
    _require_error(lambda: layer(_input(_T, _B, _I).float()), "input of another type")
    _require_error(lambda: make(_I, 0), "no hidden units")
    _require_error(lambda: make(0, _H), "no inputs")
    _require_error(lambda: make(_I, _H, num_layers=0), "no layers")
    _require_error(lambda: make(_I, _H, num_layers=2, dropout=1.5), "dropout of 1.5")
    _, state = layer(_input(_T, _B, _I))
    _require_error(lambda: layer(_input(_T, _B + 1, _I), state), "state of another batch")


def check_rnn(make: MakeLayer, *, skip: Sequence[str] = ()) -> list[str]:
    """Holds a recurrent layer to the contract of ``torch.nn.LSTM``, ``GRU`` and ``RNN``.

    It runs every layer count, direction and bias where that may matter: shapes, ``batch_first``,
    unbatched and packed input, streaming (with ``initial_state`` where the layer has one), first
    and second derivatives, state dict, deepcopy and pickle, types, the meta device, and refusals.

    Args:
        make: ``make(input_size, hidden_size, **options)``, the layer; options as in ``torch.nn``.
        skip: Checks to leave out, by name.

    Returns:
        The names of the checks that ran.

    Raises:
        ContractError: A check fails; the message names it.
        ValueError: ``skip`` names no check.

    Example:
        >>> from torchmomentum.nn import MomentumGRU
        >>> "packed" in check_rnn(MomentumGRU, skip=["gradients"])
        True
    """
    return _run_all(_RNN_CHECKS, (make,), skip)


# --- optimizers ---------------------------------------------------------------------------------


def _problem(dtype: torch.dtype = torch.float64) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
    """Two parameters and a convex loss of them."""
    generator = torch.Generator().manual_seed(2)
    real = torch.float64 if dtype.is_complex else dtype
    params = [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=real).to(dtype))
        for shape in ((3, 2), (4,))
    ]
    scales = [torch.rand(p.shape, generator=generator, dtype=real) + 0.5 for p in params]

    def loss() -> Tensor:
        terms = (s * (p - 1).abs() ** 2 for s, p in zip(scales, params, strict=True))
        return sum((t.sum() for t in terms), torch.zeros((), dtype=real))

    return params, loss


def _steps(
    optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], count: int, sign: float = 1.0
) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        (sign * loss()).backward()
        optimizer.step()


def _train(make: MakeOptimizer, count: int = 12, **options: Any) -> list[Tensor]:
    params, loss = _problem()
    _steps(make(params, lr=0.02, **options), loss, count)
    return [p.detach() for p in params]


@_enter(_OPTIMIZER_CHECKS)
def _descends(make: MakeOptimizer) -> None:
    for dtype in (torch.float32, torch.float64):
        params, loss = _problem(dtype)
        before = loss().item()
        _steps(make(params, lr=0.02), loss, 50)
        _require(loss().item() < 0.1 * before, f"the loss went from {before} to {loss().item()}")


@_enter(_OPTIMIZER_CHECKS)
def _resumes(make: MakeOptimizer) -> None:
    for cut in (1, 2, 5, 11):
        params, loss = _problem()
        _steps(make(params, lr=0.02), loss, 12)
        other, other_loss = _problem()
        first = make(other, lr=0.02)
        _steps(first, other_loss, cut)
        saved = pickle.loads(pickle.dumps(first.state_dict()))
        second = make(other, lr=0.5)
        second.load_state_dict(saved)
        _steps(second, other_loss, 12 - cut)
        _require_close(other, params, f"resumed after {cut} steps", 0.0)


@_enter(_OPTIMIZER_CHECKS)
def _foreach(make: MakeOptimizer) -> None:
    _require_close(_train(make, foreach=True), _train(make, foreach=False), "foreach", 1e-14)


@_enter(_OPTIMIZER_CHECKS)
def _fused(make: MakeOptimizer) -> None:
    _require_close(_train(make, fused=True), _train(make, foreach=False), "fused", 1e-12)
    _require_error(lambda: _train(make, fused=True, foreach=True), "fused and foreach")
    _require_error(lambda: _train(make, fused=True, differentiable=True), "fused, differentiable")


@_enter(_OPTIMIZER_CHECKS)
def _maximize(make: MakeOptimizer) -> None:
    params, loss = _problem()
    _steps(make(params, lr=0.02, maximize=True), loss, 12, sign=-1.0)
    _require_close(params, _train(make), "maximizing the negative", 0.0)


@_enter(_OPTIMIZER_CHECKS)
def _leaves_gradients(make: MakeOptimizer) -> None:
    for options in ({"foreach": False}, {"foreach": False, "weight_decay": 0.1}):
        params, loss = _problem()
        optimizer = make(params, lr=0.02, **options)
        for _ in range(3):
            optimizer.zero_grad()
            loss().backward()
            before = [p.grad.clone() for p in params if p.grad is not None]
            optimizer.step()
            after = [p.grad for p in params if p.grad is not None]
            _require_close(after, before, f"gradients with {options}", 0.0)


@_enter(_OPTIMIZER_CHECKS)
def _without_gradient(make: MakeOptimizer) -> None:
    params, _ = _problem()
    optimizer = make(params, lr=0.02)
    before = params[1].detach().clone()
    for _ in range(3):
        params[0].grad = torch.ones_like(params[0])
        optimizer.step()
    _require(torch.equal(params[1], before), "a parameter without a gradient moved")
    _require(params[1] not in optimizer.state, "a parameter without a gradient has a state")


@_enter(_OPTIMIZER_CHECKS)
def _closure(make: MakeOptimizer) -> None:
    params, loss = _problem()
    optimizer = make(params, lr=0.02)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    expected = loss().item()
    found = optimizer.step(closure)  # type: ignore[arg-type]
    _require(
        found is not None and torch.as_tensor(found).item() == expected,
        "step does not return the loss",
    )
    for _ in range(11):
        optimizer.step(closure)  # type: ignore[arg-type]
    _require_close(params, _train(make), "with a closure", 0.0)


@_enter(_OPTIMIZER_CHECKS)
def _tensor_lr(make: MakeOptimizer) -> None:
    params, loss = _problem()
    _steps(make(params, lr=torch.tensor(0.02, dtype=torch.float64)), loss, 12)
    _require_close(params, _train(make), "a tensor as learning rate", 1e-14)
    _require_error(lambda: make(params, lr=torch.tensor([0.1, 0.2])), "a learning rate of two")


@_enter(_OPTIMIZER_CHECKS)
def _groups(make: MakeOptimizer) -> None:
    params, loss = _problem()
    optimizer = make([{"params": params[:1]}], lr=0.02)
    optimizer.add_param_group({"params": params[1:], "lr": 0.0})
    before = params[1].detach().clone()
    _steps(optimizer, loss, 12)
    _require(torch.equal(params[1], before), "a group with lr=0 moved")
    _require_close(params[0], _train(make)[0], "a group with the default", 0.0)


@_enter(_OPTIMIZER_CHECKS)
def _scheduler(make: MakeOptimizer) -> None:
    params, loss = _problem()
    optimizer = make(params, lr=0.02)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    for _ in range(12):
        _steps(optimizer, loss, 1)
        scheduler.step()
    _require(optimizer.param_groups[0]["lr"] == 0.02 / 16, "the learning rate was not scheduled")


@_enter(_OPTIMIZER_CHECKS)
def _names(make: MakeOptimizer) -> None:
    params, _ = _problem()
    named = [(f"p{i}", p) for i, p in enumerate(params)]
    saved = make(named, lr=0.02).state_dict()
    _require(saved["param_groups"][0].get("param_names") == ["p0", "p1"], "names are not saved")


@_enter(_OPTIMIZER_CHECKS)
def _hooks(make: MakeOptimizer) -> None:
    params, loss = _problem()
    optimizer, calls = make(params, lr=0.02), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    _steps(optimizer, loss, 2)
    _require(calls == ["pre", "post"] * 2, f"step hooks ran as {calls}")


@_enter(_OPTIMIZER_CHECKS)
def _sparse(make: MakeOptimizer) -> None:
    def train(sparse: bool) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        table = nn.Parameter(torch.randn(5, 2, generator=generator, dtype=torch.float64))
        optimizer = make([table], lr=0.02)
        for i in range(6):
            optimizer.zero_grad()
            rows = torch.tensor([i % 5, (i + 2) % 5])
            loss = torch.nn.functional.embedding(rows, table, sparse=sparse).square().sum()
            loss.backward()
            optimizer.step()
        return table.detach()

    _require_close(train(True), train(False), "sparse gradients", 1e-14)


@_enter(_OPTIMIZER_CHECKS)
def _complex(make: MakeOptimizer) -> None:
    params, loss = _problem(torch.complex128)
    before = loss().item()
    _steps(make(params, lr=0.02), loss, 50)
    _require(loss().item() < 0.1 * before, "complex parameters do not descend")


@_enter(_OPTIMIZER_CHECKS)
def _copying(make: MakeOptimizer) -> None:
    params, loss = _problem()
    optimizer = make(params, lr=0.02)
    _steps(optimizer, loss, 3)
    for name, other in {
        "deepcopy": copy.deepcopy(optimizer),
        "pickle": pickle.loads(pickle.dumps(optimizer)),
    }.items():
        found = other.state_dict()["param_groups"]
        _require(found == optimizer.state_dict()["param_groups"], f"{name} changes the groups")
    _require("lr" in repr(optimizer), "repr does not show the learning rate")


@_enter(_OPTIMIZER_CHECKS)
def _differentiable(make: MakeOptimizer) -> None:
    def run(start: Tensor, lr: Tensor) -> Tensor:
        p = start.clone()
        optimizer = make([p.detach().requires_grad_()], lr=0.1, differentiable=True)
        optimizer.param_groups[0].update(params=[p], lr=lr)
        for _ in range(3):
            p.grad = 2 * p.clone()
            optimizer.step()
        return p

    start = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(run, (start, rate))


@_enter(_OPTIMIZER_CHECKS)
def _refuses(make: MakeOptimizer) -> None:
    params, _ = _problem()
    _require_error(lambda: make(params, lr=-1.0), "a negative learning rate")
    _require_error(lambda: make(params, lr=0.1, weight_decay=-1.0), "a negative weight decay")
    _require_error(lambda: make([], lr=0.1), "no parameters")
    _require_error(lambda: make(params[0], lr=0.1), "a bare tensor")
    _require_error(lambda: make([params[0] * 2], lr=0.1), "a tensor that is no leaf")


@_enter(_OPTIMIZER_CHECKS)
def _refuses_not_finite(make: MakeOptimizer) -> None:
    params, _ = _problem()
    for value in (float("nan"), float("inf")):
        _require_error(partial(make, params, lr=value), f"lr={value}")


def check_optimizer(make: MakeOptimizer, *, skip: Sequence[str] = ()) -> list[str]:
    """Holds an optimizer to the conventions of ``torch.optim.SGD``.

    Descent, resumption bit for bit from a state dict, ``foreach``, ``fused``, ``maximize``,
    ``differentiable``, untouched and absent gradients, closures, a tensor as learning rate, groups,
    schedulers, named parameters, hooks, sparse and complex, copies, and refusals.

    Args:
        make: ``make(params, **options)``, the optimizer; options as ``torch.optim.SGD``'s.
        skip: Checks to leave out, by name. ``torch.optim.SGD`` with momentum needs
            ``differentiable`` (it cuts the momentum off) and ``refuses_not_finite``.

    Returns:
        The names of the checks that ran.

    Raises:
        ContractError: A check fails; the message names it.
        ValueError: ``skip`` names no check.

    Example:
        >>> from torchmomentum.optim import SRSGD
        >>> "resumes" in check_optimizer(SRSGD)
        True
    """
    return _run_all(_OPTIMIZER_CHECKS, (make,), skip)
