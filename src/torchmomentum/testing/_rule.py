"""What a layer relies on in a momentum rule, as checks of any :class:`torchmomentum.nn.Rule`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchmomentum.nn import LSTM, LSTMCell, Rule
from torchmomentum.nn.rules import RuleState, with_parts
from torchmomentum.ops import Modifiers
from torchmomentum.testing._contract import Contract, draw, require, require_close

MakeRule = Callable[[], Rule]
CONTRACT = Contract()

_T, _B, _N = 7, 3, 4


def _rule(make: MakeRule) -> Rule:
    torch.manual_seed(0)
    rule = make()
    require(isinstance(rule, Rule), f"expected a torchmomentum.nn.Rule, got {type(rule).__name__}")
    return rule.double()


@CONTRACT.check
def _state(make: MakeRule) -> None:
    rule = _rule(make)
    start = rule.initial_state(_B, _N, dtype=torch.float32)
    on_meta = rule.initial_state(_B, _N, dtype=torch.float32, device="meta")
    require(isinstance(start, tuple), "the state is not a tuple of tensors")
    for part, meta in zip(start, on_meta, strict=True):
        require(part.dim() > 0 and part.shape[0] == _B, f"state of size {list(part.shape)}")
        require(part.dtype in (torch.float32, torch.int64), f"float32 state of {part.dtype}")
        require(meta.is_meta and meta.shape == part.shape, "state on the meta device")
    start = rule.initial_state(_B, _N, dtype=torch.float64)
    drives = draw(_T, _B, _N)
    for name, state in {
        "step": rule.step(drives[0], start)[1],
        "scan": rule.scan(drives)[1],
        "scan from a state": rule.scan(drives, start)[1],
    }.items():
        require(type(state) is type(start), f"{name} returns a state of {type(state).__name__}")
        for new, old in zip(state, start, strict=True):
            require(new.shape == old.shape, f"{name} changes the state's size")
            require(new.dtype == old.dtype, f"{name} changes the state's type")


def _stepped(rule: Rule, drives: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    state = rule.initial_state(*drives.shape[1:], dtype=drives.dtype)
    outputs = []
    for drive in drives:
        y, state = rule.step(drive, state)
        outputs.append(y)
    return torch.stack(outputs), state


@CONTRACT.check
def _scan_equals_steps(make: MakeRule) -> None:
    rule, drives = _rule(make), draw(_T, _B, _N)
    expected, last = _stepped(rule, drives)
    found, state = rule.scan(drives)
    require_close(found, expected, "output of scan")
    require_close(state, last, "state after scan")


@CONTRACT.check
def _goes_on(make: MakeRule) -> None:
    rule, drives = _rule(make), draw(_T, _B, _N)
    whole, last = rule.scan(drives)
    for cut in range(1, _T):
        first, between = rule.scan(drives[:cut])
        second, state = rule.scan(drives[cut:], between)
        require_close(torch.cat([first, second]), whole, f"output, cut at {cut}")
        require_close(state, last, f"state, cut at {cut}")


@CONTRACT.check
def _lengths(make: MakeRule) -> None:
    rule, drives = _rule(make), draw(_T, _B, _N)
    lengths = torch.tensor([2, _T, 1])
    _, start = rule.scan(draw(2, _B, _N))
    for begin in (None, start):
        found, state = rule.scan(drives, begin, lengths)
        for i, length in enumerate(lengths.tolist()):
            alone = None if begin is None else _part(begin, i)
            expected, last = rule.scan(drives[:length, i : i + 1], alone)
            require_close(found[:length, i : i + 1], expected, f"sequence of {length} steps")
            require_close(_part(state, i), last, f"state after {length} steps")


def _part(state: tuple[Tensor, ...], i: int) -> tuple[Tensor, ...]:
    parts = [part[i : i + 1] for part in state]
    return with_parts(state, parts)


@CONTRACT.check
def _types(make: MakeRule) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        rule = make()
        y, state = rule.scan(draw(_T, _B, _N).to(dtype))
        require(y.dtype == dtype, f"output of {y.dtype} for {dtype}")
        least = torch.promote_types(dtype, torch.float32)
        for part in state:
            kept = not part.is_floating_point() or part.dtype == least
            require(kept, f"state of {part.dtype} for {dtype}, expected {least}")


@CONTRACT.check
def _stays_finite(make: MakeRule) -> None:
    loud, silent = torch.full((2, _B, _N), 1e30), torch.zeros(300, _B, _N)
    signs = draw(2, _B, _N).sign().float()
    cases = {
        "large drives": loud * signs,
        "silent drives": silent,
        "silence after a drive": torch.cat([signs, silent]),
        "silence after large drives": torch.cat([loud, silent]),
        "tiny drives": signs * 1e-38,
    }
    for name, drives in cases.items():
        drives.requires_grad_()
        rule = make()
        y, state = rule.scan(drives)
        require(bool(y.isfinite().all()), f"{name}: the output is not finite")
        for part in state:
            require(bool(part.isfinite().all()), f"{name}: the state is not finite")
        learned = [p for p in rule.parameters() if p.requires_grad]
        for grad in torch.autograd.grad(y.sum(), [drives, *learned], allow_unused=True):
            finite = grad is None or bool(grad.isfinite().all())
            require(finite, f"{name}: the gradient is not finite")


class _Scan(nn.Module):
    """A scan as a module, so that a rule's parameters can be passed in."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, drives: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        y, new = self.rule.scan(drives, state)
        return y, *(part for part in new if part.is_floating_point())


@CONTRACT.check
def _gradients(make: MakeRule) -> None:
    module = _Scan(_rule(make))
    names = [name for name, _ in module.named_parameters()]
    _, start = module.rule.scan(draw(2, 2, 2))
    learned = [i for i, part in enumerate(start) if part.is_floating_point()]

    def run(drives: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        parts = list(start)
        for i, value in zip(learned, values[: len(learned)], strict=True):
            parts[i] = value
        state = with_parts(start, parts)
        parameters = dict(zip(names, values[len(learned) :], strict=True))
        out: tuple[Tensor, ...] = torch.func.functional_call(module, parameters, (drives, state))
        return out

    given = [draw(3, 2, 2), *(start[i] for i in learned), *module.parameters()]
    inputs = [t.detach().clone().requires_grad_() for t in given]
    torch.autograd.gradcheck(run, inputs)
    torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@CONTRACT.check
def _linear(make: MakeRule) -> None:
    """Layers run a rule that says ``linear = True`` on ``[x; 1]`` in the place of ``W x + b``."""
    rule = _rule(make)
    if not rule.linear:
        return
    x, z, weight, bias = draw(_T, _B, _N), draw(_T + 1, _B, _N)[1:], draw(_N, 5), draw(5)
    y = rule.scan(x)[0]
    for scale in (0.0, 1e-3, -1.0, 1e3):
        found = rule.scan(scale * x)[0] / (scale or 1.0)
        expected = y if scale else torch.zeros_like(y)
        require_close(found, expected, f"linear is True, but {scale:g} times the drive")
    require_close(rule.scan(x + z)[0], y + rule.scan(z)[0], "linear is True, but a sum of drives")
    filtered = rule.scan(torch.cat([x, torch.ones(_T, _B, 1, dtype=x.dtype)], -1))[0]
    expected = filtered @ torch.cat([weight, bias.unsqueeze(0)])
    found = rule.scan(x @ weight + bias)[0]
    require_close(found, expected, "linear is True, but an affine map of the drive")


@CONTRACT.check
def _leaves_its_input(make: MakeRule) -> None:
    rule, drives = _rule(make), draw(_T, _B, _N)
    _, state = rule.scan(drives)
    before = [t.clone() for t in (drives, *state)]
    rule.scan(drives, state)
    rule.scan(drives, state, torch.tensor([2, _T, 1]))
    rule.step(drives[0], state)
    require_close([drives, *state], before, "drives or state were changed", 0.0)


class _Steps(Rule):
    """A rule that no kernel fuses: another's steps and hooks, without its moments."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.reads_hidden, self.space = rule, rule.reads_hidden, rule.space

    def initial_state(self, *sizes: int, **options: Any) -> RuleState:
        return self.rule.initial_state(*sizes, **options)

    def cell_state(self, *sizes: int, **options: Any) -> RuleState:
        return self.rule.cell_state(*sizes, **options)

    def step(self, drive: Tensor, state: RuleState) -> tuple[Tensor, RuleState]:
        return self.rule.step(drive, state)

    def modifiers(self, state: RuleState) -> Modifiers:
        return self.rule.modifiers(state)

    def follow(self, state: RuleState, hidden: Tensor) -> RuleState:
        return self.rule.follow(state, hidden)


@CONTRACT.check
def _in_a_layer(make: MakeRule) -> None:
    """By its kernel and by its steps, whole and in parts, a layer and a cell compute the same."""
    rule = _rule(make)
    layer = LSTM(3, _N, momentum=rule).double()
    x = draw(_T, _B, 3)
    expected, last = layer(x, layer.initial_state(_B))
    plain = LSTM(3, _N, momentum=_Steps(rule)).double()
    weights = {k: v for k, v in layer.state_dict().items() if not k.startswith("momentum.")}
    plain.load_state_dict(weights, strict=False)
    require_close(plain(x)[0], expected, "a layer without the rule's kernel")
    first, state = layer(x[:3], layer.initial_state(_B))
    second, state = layer(x[3:], state)
    require_close(torch.cat([first, second]), expected, "a layer that goes on from a state")
    require_close(state[0], last[0], "its last state")
    cell = LSTMCell(3, _N, momentum=rule).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    hidden = momentum = None
    for x_t, wanted in zip(x, expected, strict=True):
        out, hidden, momentum = cell(x_t, hidden, momentum)
        require_close(out, wanted, "a cell step by step")
    cell, x_t = cell.float(), x[0].float()
    _, hidden, momentum = cell(x_t)
    wanted = cell(x_t, hidden, momentum)[0]
    with torch.no_grad():  # on the kernel of one step, where there is one
        require_close(cell(x_t, hidden, momentum)[0], wanted, "a cell without gradients", 1e-4)


@CONTRACT.check
def _copies(make: MakeRule) -> None:
    rule, drives = _rule(make), draw(_T, _B, _N)
    expected = rule.scan(drives)[0]
    again = _rule(make)
    again.load_state_dict(rule.state_dict())
    copied = {"state_dict": again, "deepcopy": copy.deepcopy(rule)}
    copied["pickle"] = pickle.loads(pickle.dumps(rule))
    for name, other in copied.items():
        require_close(other.scan(drives)[0], expected, name, 0.0)


@CONTRACT.check
def _reset_parameters(make: MakeRule) -> None:
    rule = _rule(make)
    before = [p.detach().clone() for p in rule.parameters()]
    with torch.no_grad():
        for p in rule.parameters():
            p.add_(0.5)
    torch.manual_seed(0)
    rule.reset_parameters()
    found = [p.detach() for p in rule.parameters()]
    require_close(found, before, "reset_parameters does not restore the initial values", 1e-6)


def check_rule(make: MakeRule, *, skip: Sequence[str] = ()) -> list[str]:
    """Tests what layers and cells rely on in a momentum rule.

    The structure of its state, a scan against single steps, a scan that goes on from a state or
    ends at each sequence's length, types, finite values for large, tiny and silent drives, first
    and second derivatives, copies, and ``reset_parameters``. A rule that says ``linear = True``
    must commute with sums, factors and the affine map of a layer.

    Args:
        make: ``make()``, the rule.
        skip: Checks to leave out, by name.

    Returns:
        The names of the checks that ran.

    Raises:
        ContractError: A check fails; the message names it.
        ValueError: ``skip`` names no check.

    Example:
        >>> from torchmomentum.nn import Momentum
        >>> "linear" in check_rule(lambda: Momentum(0.6, 0.9))
        True
    """
    return CONTRACT.run(make, skip)
