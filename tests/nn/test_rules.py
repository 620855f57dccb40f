import inspect
import math

import pytest
import torch
from torch import Tensor

from torchmomentum.nn import (
    LSTM,
    Adam,
    LSTMCell,
    Momentum,
    Nesterov,
    NesterovLookahead,
    RMSProp,
    Rule,
)
from torchmomentum.ops import Modifiers, lstm_scan

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("logit", [20.0, 100.0, 1e4])
def test_a_learned_momentum_never_becomes_one(logit, dtype):
    rule = Momentum(0.6, 0.9, learnable=True).to(dtype)
    with torch.no_grad():
        rule.logit_mu.fill_(logit)
    assert rule.mu < 1
    assert 1 / (1 - rule.mu) < 2e6
    y, _ = rule.scan(torch.ones(50, 1, 1, dtype=dtype))
    assert y.isfinite().all()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_no_gradient_passes_a_clamped_drive(name, learnable, dtype):
    limit = torch.finfo(dtype).max
    drives = torch.full((3, 2, 2), 0.5, dtype=dtype)
    drives[0, 0, 0], drives[2, 1, 1] = limit, -limit
    drives.requires_grad_()
    y, state = RULES[name](learnable=learnable).scan(drives)
    # a lookahead keeps the drive itself, and bounds it when it reads it again
    ends = [] if name == "released" else [t for t in state if t.is_floating_point()]
    assert all(t.isfinite().all() for t in (y, *ends))
    (found,) = torch.autograd.grad([y.sum(), *(t.sum() for t in ends)], drives)
    assert found.isfinite().all()
    clamped = drives.detach().abs() == limit
    assert (found[clamped] == 0).all()
    assert (found[1:, 0, 1] != 0).any()


@pytest.mark.parametrize("step_size", [0.5, 2.0, 9e5])
def test_what_a_rule_makes_can_be_squared_whatever_its_step_size(step_size):
    for make in (lambda: Momentum(0.0, step_size), lambda: Nesterov(step_size, restart=1)):
        drive = torch.full((1, 1, 1), torch.finfo(torch.float32).max)
        for y in (make().scan(drive)[0], make().step(drive[0], make().initial_state(1, 1))[0]):
            assert y.double().item() ** 2 <= torch.finfo(torch.float32).max * (1 + 1e-6)
            assert y.item() > 1e17 * min(step_size, 1.0)


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


class Doubled(Adam):
    """Another rule than the one that it is made of."""

    def step(self, drive, state):
        y, state = super().step(drive, state)
        return 2 * y, state


class DoubledScan(Adam):
    def scan(self, drives, state=None, lengths=None):
        y, state = super().scan(drives, state, lengths)
        return 2 * y, state


class Doubles:
    def step(self, drive, state):
        y, state = super().step(drive, state)
        return 2 * y, state


class Mixed(Doubles, Adam):
    pass


class SquareRoot(Momentum):
    """Not linear, made of a rule that is."""

    def step(self, drive, state):
        v, state = super().step(drive, state)
        return v.sign() * v.abs().sqrt(), state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Doubled, DoubledScan, Mixed])
def test_a_subclass_that_is_another_rule_gets_no_kernel_of_adams(kind, dtype):
    assert kind().moments(kind().initial_state(1, 1)) is None
    layer, cell = (make(2, 3, momentum=kind(), dtype=dtype) for make in (LSTM, LSTMCell))
    adam = LSTM(2, 3, momentum=Adam(), dtype=dtype)
    layer.load_state_dict(dict(adam.state_dict()))
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in adam.state_dict().items()})
    x = torch.randn(6, 4, 2, dtype=dtype)
    drives = x @ layer.weight_ih_l0.T + layer.bias_ih_l0
    y = 2 * Adam().scan(drives)[0]
    zeros = x.new_zeros(4, 3)
    expected = lstm_scan(y, zeros, zeros, layer.weight_hh_l0, layer.bias_hh_l0)[0]
    torch.testing.assert_close(layer(x)[0], expected)
    assert (adam(x)[0] - expected).abs().max() > 0.05
    with torch.no_grad():
        hidden = v = None
        for t, step in enumerate(x):
            out, hidden, v = cell(step, hidden, v)
            torch.testing.assert_close(out, expected[t])


def test_a_subclass_inherits_what_still_holds():
    class Renamed(Adam):
        pass

    class Stated(SquareRoot):
        linear = True

    assert Renamed().moments(Renamed().initial_state(1, 1)) is not None
    assert Momentum.linear
    assert not SquareRoot.linear
    assert SquareRoot.scan is Rule.scan
    assert Stated.linear  # it says so itself


def test_a_rule_that_is_no_longer_linear_runs_on_the_gates():
    layer = LSTM(2, 3, momentum=SquareRoot(0.6, 0.9), dtype=torch.float64)
    x = torch.randn(6, 4, 2, dtype=torch.float64)
    v = x.new_zeros(4, 12)
    h = c = x.new_zeros(4, 3)
    for step in x:
        v = 0.6 * v + 0.9 * (step @ layer.weight_ih_l0.T + layer.bias_ih_l0)
        gates = v.sign() * v.abs().sqrt() + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(layer(x)[1][0][0], h)


class Ahead(Momentum):
    """A recurrent dropout that is no draw, and a zoneout that is always its mean."""

    linear, reads_hidden = True, True

    def modifiers(self, state):
        batch = state[0].shape[0]
        return Modifiers(keep_mask=torch.zeros(batch, 3, dtype=torch.bool), rate_h=0.25)


def test_a_users_rule_may_change_what_the_recurrent_weights_read():
    layer = LSTM(2, 3, momentum=Ahead(0.6, 0.9))
    cell = LSTMCell(2, 3, momentum=Ahead(0.6, 0.9))
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()})
    x, hidden, v = torch.randn(6, 4, 2), None, None
    found = layer(x, layer.initial_state(4))[0]
    cut = LSTM(2, 3, momentum=Momentum(0.6, 0.9), zoneout=(0.25, 0.0)).eval()
    cut.load_state_dict(dict(layer.state_dict()))
    with torch.no_grad():
        cut.weight_hh_l0.zero_()
    torch.testing.assert_close(found, cut(x)[0])
    for t, step in enumerate(x):
        out, hidden, v = cell(step, hidden, v)
        torch.testing.assert_close(out, found[t])


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


def test_the_defaults_are_the_documented_ones():
    """A rule without arguments is the paper's with a step of one, and nothing is learned."""
    found = {
        rule.__name__: {
            name: p.default
            for name, p in inspect.signature(rule).parameters.items()
            if p.default is not p.empty
        }
        for rule in (Momentum, Nesterov, NesterovLookahead, Adam, RMSProp)
    }
    common: dict = {"learnable": False, "space": "gates"}
    assert found == {
        "Momentum": {"mu": 0.6, "step_size": 1.0, **common},
        "Nesterov": {"step_size": 1.0, "restart": None, **common},
        "NesterovLookahead": {"step_size": 1.0, "restart": None, "learnable": False},
        "Adam": {"mu": 0.6, "step_size": 1.0, "beta": 0.99, "eps": 1e-8, **common},
        "RMSProp": {"step_size": 1.0, "beta": 0.9, "eps": 1e-8, **common},
    }


def test_a_rule_is_linear_only_where_it_says_so():
    class Own(Rule):
        def initial_state(self, batch_size, width, **options):
            return (torch.zeros(batch_size, width, **options),)

        def step(self, drive, state):
            return drive.relu(), state

    assert Own.linear is False
    assert Own.reads_hidden is False
    torch.manual_seed(0)
    layer, x = LSTM(3, 4, momentum=Own()), torch.randn(5, 2, 3)
    drive = torch.nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).relu()
    zero = torch.zeros(2, 4)
    expected = lstm_scan(drive, zero, zero, layer.weight_hh_l0, layer.bias_hh_l0)[0]
    torch.testing.assert_close(layer(x)[0], expected)


def test_a_lookahead_state_without_a_cell_has_no_hidden_units():
    assert [tuple(p.shape) for p in NesterovLookahead().initial_state(2, 3)] == [
        (2, 3),
        (2,),
        (2, 0),
    ]
