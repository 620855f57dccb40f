"""What users of ``torch.nn.LSTM`` rely on, as checks of any recurrent layer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torchmomentum._tuples import each_tensor
from torchmomentum.nn import Recurrent
from torchmomentum.ops import Modifiers
from torchmomentum.ops.cells import Weights
from torchmomentum.testing._contract import (
    Contract,
    draw,
    require,
    require_close,
    require_error,
    tensors,
)

MakeLayer = Callable[..., nn.Module]
CONTRACT = Contract()

_T, _B, _I, _H = 5, 3, 4, 6


def _layer(make: MakeLayer, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(_I, _H, dtype=torch.float64, **options)


_EVERY = [
    {"num_layers": layers, "bidirectional": two, "bias": bias}
    for layers in (1, 2)
    for two in (False, True)
    for bias in (True, False)
]


@CONTRACT.check
def _shapes(make: MakeLayer) -> None:
    for options in _EVERY:
        layer = _layer(make, **options)
        out, state = layer(draw(_T, _B, _I))
        directions = 2 if options["bidirectional"] else 1
        require(
            tuple(out.shape) == (_T, _B, directions * _H),
            f"output {list(out.shape)} for {options}",
        )
        expected = (int(options["num_layers"]) * directions, _B, _H)
        for s in tensors(state):
            require(tuple(s.shape) == expected, f"state {list(s.shape)} for {options}")


@CONTRACT.check
def _batch_first(make: MakeLayer) -> None:
    for options in _EVERY:
        x = draw(_T, _B, _I)
        out, state = _layer(make, **options)(x)
        other, other_state = _layer(make, batch_first=True, **options)(x.transpose(0, 1))
        require_close(other.transpose(0, 1), out, f"output for {options}")
        require_close(other_state, state, f"state for {options}")


@CONTRACT.check
def _unbatched(make: MakeLayer) -> None:
    for options in _EVERY:
        layer, x = _layer(make, **options), draw(_T, _B, _I)
        out, state = layer(x)
        alone, alone_state = layer(x[:, 1])
        require_close(alone, out[:, 1], f"output for {options}")
        require_close(alone_state, [s[:, 1] for s in tensors(state)], f"state for {options}")


@CONTRACT.check
def _packed(make: MakeLayer) -> None:
    lengths = torch.tensor([2, _T, 1])
    for options in _EVERY:
        layer, x = _layer(make, **options), draw(_T, _B, _I)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        out, state = layer(packed)
        padded, found = pad_packed_sequence(out, total_length=_T)
        require(torch.equal(found, lengths), f"lengths {found.tolist()} for {options}")
        for i, length in enumerate(lengths.tolist()):
            alone, alone_state = layer(x[:length, i])
            require_close(padded[:length, i], alone, f"sequence {i} for {options}")
            require_close([s[:, i] for s in tensors(state)], alone_state, f"state for {options}")


@CONTRACT.check
def _goes_on(make: MakeLayer) -> None:
    for bias in (True, False):
        layer, x = _layer(make, num_layers=2, bias=bias), draw(_T, _B, _I)
        start = getattr(layer, "initial_state", lambda batch: None)(_B)
        whole, _ = layer(x, start)
        for cut in range(1, _T):
            first, state = layer(x[:cut], start)
            second, _ = layer(x[cut:], state)
            require_close(torch.cat([first, second]), whole, f"cut at {cut}")


@CONTRACT.check
def _goes_on_from_what_it_returned(make: MakeLayer) -> None:
    """As callers of ``torch.nn`` go on: from no state, then from a detached one."""
    layer, x = _layer(make, num_layers=2), draw(_T, _B, _I)
    whole, state = layer(x)[0], None
    for t in range(_T):
        out, state = layer(x[t : t + 1], state)
        require_close(out[0], whole[t], f"step {t}")
        state = each_tensor(state, Tensor.detach)


@CONTRACT.check
def _gradients(make: MakeLayer) -> None:
    stacked = {"num_layers": 2, "bidirectional": True}
    for options, fast in (({}, False), (stacked, True)):  # fast: along a random direction
        torch.manual_seed(0)
        layer = make(2, 2, dtype=torch.float64, **options)
        names = [name for name, _ in layer.named_parameters()]

        def run(
            x: Tensor, *values: Tensor, layer: nn.Module = layer, names: list[str] = names
        ) -> tuple[Tensor, ...]:
            parameters = dict(zip(names, values, strict=True))
            return tuple(tensors(torch.func.functional_call(layer, parameters, (x,))))

        values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
        x = draw(3, 2, 2).requires_grad_()
        torch.autograd.gradcheck(run, (x, *values), fast_mode=fast)
        torch.autograd.gradgradcheck(run, (x, *values), fast_mode=True)


@CONTRACT.check
def _copies(make: MakeLayer) -> None:
    layer, x = _layer(make, num_layers=2), draw(_T, _B, _I)
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
        require_close(other(x)[0], out, name, 0.0)


@CONTRACT.check
def _leaves_its_input(make: MakeLayer) -> None:
    layer, x = _layer(make), draw(_T, _B, _I)
    before = x.clone()
    layer(x)
    require(torch.equal(x, before), "the input was changed")


@CONTRACT.check
def _types(make: MakeLayer) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        layer = make(_I, _H, dtype=dtype)
        out, _ = layer(draw(_T, _B, _I).to(dtype))
        require(out.dtype == dtype, f"output of {out.dtype} for {dtype}")
        require(bool(out.isfinite().all()), f"not finite in {dtype}")
        out.float().sum().backward()
        for name, p in layer.named_parameters():
            require(p.grad is not None and p.grad.dtype == dtype, f"gradient of {name}")


@CONTRACT.check
def _non_contiguous(make: MakeLayer) -> None:
    layer = _layer(make)
    x = draw(_B, _T, _I).transpose(0, 1)
    require_close(layer(x)[0], layer(x.contiguous())[0], "non-contiguous input", 1e-12)


@CONTRACT.check
def _meta_device(make: MakeLayer) -> None:
    layer = make(_I, _H, device="meta")
    require(all(p.is_meta for p in layer.parameters()), "parameters are not on the meta device")
    layer = layer.to_empty(device="cpu")
    torch.manual_seed(0)
    layer.reset_parameters()  # type: ignore[operator]
    torch.manual_seed(0)
    for p, q in zip(layer.parameters(), make(_I, _H).parameters(), strict=True):
        require(torch.equal(p, q), "reset_parameters draws other values than construction")


@CONTRACT.check
def _wrong_arguments(make: MakeLayer) -> None:
    layer = _layer(make)
    require_error(lambda: layer(draw(0, _B, _I)), "no steps")
    require_error(lambda: layer(draw(_T, _B, _I + 1)), "input of another size")
    require_error(lambda: layer(draw(1, _T, _B, _I)), "input of rank 4")
    require_error(lambda: layer(draw(_T, _B, _I).float()), "input of another type")
    require_error(lambda: make(_I, 0), "no hidden units")
    require_error(lambda: make(_I, _H, num_layers=0), "no layers")
    require_error(lambda: make(_I, _H, num_layers=2, dropout=1.5), "dropout of 1.5")
    _, state = layer(draw(_T, _B, _I))
    require_error(lambda: layer(draw(_T, _B + 1, _I), state), "state of another batch")


@CONTRACT.check
def _options_of_a_cell(make: MakeLayer) -> None:
    """What a layer of ours accepts, its cell's step does."""
    plain = _layer(make)
    if not isinstance(plain, Recurrent) or plain.cell.scan is not None:
        return
    x = draw(_T, _B, _I)
    expected = plain(x)[0]
    for name in ("recurrent_dropout", "zoneout"):
        layer = _layer(make, **{name: 0.5})
        layer.load_state_dict(plain.state_dict(), strict=False)
        require(not torch.equal(layer(x)[0], expected), f"{name} changes nothing")
    if "norm_hh" not in plain.cell.norms:
        return
    layer = plain if plain.layer_norm else _layer(make, layer_norm=True)
    layer(x)[0].square().sum().backward()
    for name in plain.cell.norms:
        gradient = getattr(layer, f"{name}_l0").grad
        told = f"{name} has no part in the output: say which norms the cell has"
        require(gradient is not None and bool(gradient.ne(0).any()), told)


@CONTRACT.check
def _scan_of_a_cell(make: MakeLayer) -> None:
    """What a cell makes of all steps at once, its step makes of one after the other."""
    layer = _layer(make)
    cell = getattr(layer, "cell", None)
    if cell is None or cell.scan is None:
        return
    extra = {e.name: getattr(layer, f"{e.name}_l0") for e in cell.extra if e.required}
    weights = Weights(draw(0), None, extra)
    pre, lengths = draw(_T, _B, cell.gates * _H), torch.tensor([2, _T, 1])
    state = tuple(draw(_B, _H) for _ in cell.states)
    out, *last = cell.scan(pre, state, weights, lengths)
    for t in range(_T):
        new = cell.step(pre[t], state, weights, state[0], Modifiers())
        alive = (lengths > t).unsqueeze(1)
        require_close(out[t] * alive, new[0] * alive, f"output of step {t}")
        state = tuple(torch.where(alive, a, b) for a, b in zip(new, state, strict=True))
    require_close(last, state, "last state")


def check_rnn(make: MakeLayer, *, skip: Sequence[str] = ()) -> list[str]:
    """Tests a recurrent layer on what users of ``torch.nn.LSTM``, ``GRU`` and ``RNN`` rely on.

    One and two layers, both directions, with and without bias: shapes, ``batch_first``, unbatched
    and packed input, streaming (with ``initial_state`` where the layer has one), first and second
    derivatives, copies, types, the meta device, and errors.

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
    return CONTRACT.run(make, skip)
