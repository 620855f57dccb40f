import math

import pytest
import torch
from torch import Tensor

from torchmomentum.nn import LSTM, Adam, Momentum, Nesterov, NesterovLookahead, RMSProp, Rule

RULES = {
    "momentum": lambda **k: Momentum(0.6, 0.9, **k),
    "nesterov": lambda **k: Nesterov(0.9, **k),
    "restarted": lambda **k: Nesterov(0.9, restart=3, **k),
    "released": lambda **k: NesterovLookahead(0.9, restart=3, **k),
    "adam": lambda **k: Adam(0.6, 0.9, 0.7, **k),
    "rmsprop": lambda **k: RMSProp(0.9, 0.7, **k),
}


@pytest.mark.parametrize("name", RULES)
def test_scan_equals_steps_and_can_be_cut(name):
    rule = RULES[name]()
    drives = torch.randn(11, 3, 4, dtype=torch.float64)
    whole, last = rule.scan(drives)
    state = rule.initial_state(3, 4, dtype=torch.float64)
    steps = []
    for drive in drives:
        y, state = rule.step(drive, state)
        steps.append(y)
    torch.testing.assert_close(torch.stack(steps), whole, rtol=0, atol=1e-12)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b)
    first, between = rule.scan(drives[:4])
    second, end = rule.scan(drives[4:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-12)
    for a, b in zip(end, last, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", RULES)
def test_the_inherited_scan_agrees(name):
    rule, lengths = RULES[name](), torch.tensor([5, 1, 3])
    drives = torch.randn(5, 3, 4, dtype=torch.float64)
    y, state = rule.scan(drives, None, lengths)
    plain, plain_state = Rule.scan(rule, drives, None, lengths)
    alive = torch.arange(5)[:, None] < lengths
    torch.testing.assert_close(y[alive], plain[alive], rtol=0, atol=1e-12)
    for a, b in zip(state, plain_state, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", RULES)
def test_learned_hyperparameters_get_the_right_gradient(name):
    rule = RULES[name](learnable=True).double()
    drives = torch.randn(5, 2, 3, dtype=torch.float64)
    names = [n for n, _ in rule.named_parameters()]
    assert names == (
        ["log_step_size", "logit_mu"] if name in ("momentum", "adam") else ["log_step_size"]
    )

    def run(*values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(
            _Scan(rule), {f"rule.{n}": v for n, v in parameters.items()}, (drives,)
        )

    values = [p.detach().clone().requires_grad_() for p in rule.parameters()]
    assert torch.autograd.gradcheck(run, values)
    assert torch.autograd.gradgradcheck(run, values)


class _Scan(torch.nn.Module):
    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def forward(self, drives):
        return self.rule.scan(drives)[0]


def test_learned_hyperparameters_keep_their_ranges_and_can_be_reset():
    rule = Momentum(0.6, 0.9, learnable=True)
    assert math.isclose(rule.mu.item(), 0.6, rel_tol=1e-6)
    assert math.isclose(rule.step_size.item(), 0.9, rel_tol=1e-6)
    optimizer = torch.optim.SGD(rule.parameters(), lr=1e3)
    for sign in (1, -1):
        for _ in range(3):
            optimizer.zero_grad()
            (sign * rule.scan(torch.ones(4, 1, 1))[0].sum()).backward()
            torch.nn.utils.clip_grad_norm_(rule.parameters(), 1e-3)
            optimizer.step()
            assert 0.0 < rule.mu.item() < 1.0
            assert rule.step_size.item() > 0.0
    rule.reset_parameters()
    assert math.isclose(rule.mu.item(), 0.6, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Momentum(mu=1.0), r"mu must be in \[0, 1\), got 1.0"),
        (lambda: Momentum(mu=-0.1), r"mu must be in \[0, 1\), got -0.1"),
        (lambda: Momentum(mu=float("nan")), r"mu must be in \[0, 1\), got nan"),
        (lambda: Momentum(0.5, 0.0), r"step_size must be in \(0, 1e\+06\), got 0.0"),
        (lambda: Momentum(0.5, float("inf")), r"step_size must be in \(0, 1e\+06\), got inf"),
        (lambda: Momentum(0.0, 1.0, learnable=True), r"mu must be in \(0, 1\) where it is learned"),
        (lambda: Adam(beta=1.0), r"beta must be in \[0, 1\), got 1.0"),
        (lambda: Adam(eps=0.0), r"eps must be in \[1e-16, inf\), got 0.0"),
        (lambda: RMSProp(beta=float("nan")), "beta must be in"),
        (lambda: Nesterov(1.0, restart=0), "restart must be at least 1 step, got 0"),
    ],
)
def test_values_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Momentum(mu="0.5"), "mu must be a number, got str"),
        (lambda: Momentum(mu=True), "mu must be a number, got bool"),
        (lambda: Nesterov(1.0, restart=2.5), "restart must be an int or None, got float"),
        (lambda: Momentum(0.5, 1.0, learnable="yes"), "learnable must be a bool, got str"),
        (lambda: LSTM(2, 3, momentum=0.6), "momentum must be a rule"),
    ],
)
def test_wrong_types_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


class Clipped(Rule):
    """A user's own rule, in the form that the documentation gives."""

    def initial_state(self, batch_size: int, width: int, **options) -> tuple[Tensor, ...]:
        return (torch.zeros(batch_size, width, **options),)

    def step(self, drive: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        velocity = (0.5 * state[0] + drive).clamp(-1, 1)
        return velocity, (velocity,)


def test_a_users_own_rule_works_with_any_cell():
    from torchmomentum.testing import check_rnn

    def make(*args, **kwargs):
        return LSTM(*args, momentum=Clipped(), **kwargs)

    check_rnn(make, skip=["gradients", "copies"])


class Offset(Clipped):
    """A user's rule with something of its own to save, and nothing to train."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(()))


def test_a_users_rule_keeps_its_buffers_in_a_state_dict():
    layer, other = LSTM(2, 3, momentum=Offset()), LSTM(2, 3, momentum=Offset())
    layer.momentum.offset.fill_(7.0)
    other.load_state_dict(layer.state_dict())
    assert other.momentum.offset == 7.0
    other.load_state_dict(torch.nn.LSTM(2, 3).state_dict())
    assert other.momentum.offset == 7.0
