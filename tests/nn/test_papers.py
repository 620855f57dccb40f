"""The layers against transcriptions of the papers' equations, and of the released code."""

from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from tests.reference import cells

STEPS = 200
KINDS = {
    "lstm": (tnn.LSTM, cells.lstm),
    "gru": (tnn.GRU, cells.gru),
    "rnn": (tnn.RNN, cells.rnn),
}
RULES = {
    "momentum": (tnn.Momentum(0.6, 0.9), cells.momentum(0.6, 0.9)),
    "nesterov": (tnn.Nesterov(0.8), cells.nesterov(0.8, None)),
    "restarted": (tnn.Nesterov(0.8, restart=4), cells.nesterov(0.8, 4)),
    "adam": (tnn.Adam(0.6, 0.9, 0.7), cells.adam(0.6, 0.9, 0.7, 1e-8)),
    "rmsprop": (tnn.RMSProp(0.9, 0.7), cells.adam(0.0, 0.9, 0.7, 1e-8)),
}


def _made(kind, rule):
    layer = KINDS[kind][0](3, 5, momentum=rule, dtype=torch.float64)
    return layer, [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]


def _equal(found, expected):
    """To 1e-10 of the norm: a gradient sums 200 steps, and some cancel."""
    for a, b in zip(found, expected, strict=True):
        assert torch.linalg.norm(a - b) <= 1e-10 * torch.linalg.norm(b)


def _equals(layer, weights, transcription):
    x = torch.randn(STEPS, 4, 3, dtype=torch.float64, requires_grad=True)
    out, state = layer(x)
    last = [s[0] for s in state] if isinstance(state, tuple) else [state[0]]
    expected, *expected_last = transcription(x, *weights)
    _equal([out, *last], [expected, *expected_last])
    probe = torch.randn_like(out)
    _equal(
        torch.autograd.grad((out * probe).sum() + last[-1].sum(), [x, *weights]),
        torch.autograd.grad((expected * probe).sum() + expected_last[-1].sum(), [x, *weights]),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RULES)
def test_equals_the_papers_recurrence(kind, name):
    rule, transcription = RULES[name]
    layer, weights = _made(kind, rule)
    _equals(layer, weights, partial(KINDS[kind][1], transcription))


@pytest.mark.parametrize("restart", [1, 2, 4, 40])
def test_equals_the_released_recurrence(restart):
    layer, weights = _made("lstm", tnn.NesterovLookahead(0.8, restart))
    _equals(layer, weights, partial(cells.released_lstm, 0.8, restart))


# Remarks 1 and 4: momentum in hidden space

HIDDEN = {
    "momentum": lambda: tnn.Momentum(0.6, 0.9, space="hidden"),
    "nesterov": lambda: tnn.Nesterov(0.8, space="hidden"),
    "adam": lambda: tnn.Adam(0.6, 0.9, 0.7, space="hidden"),
    "rmsprop": lambda: tnn.RMSProp(0.9, 0.7, space="hidden"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HIDDEN)
def test_equals_the_remarks_recurrence(kind, name):
    layer, weights = _made(kind, HIDDEN[name]())

    def transcription(x, w, u, b, c):
        return KINDS[kind][1](cells.hidden(RULES[name][1], u), x, w, u, b, c)

    _equals(layer, weights, transcription)


def _in_gate_space(layer, rule):
    """A layer whose drives are those of another in hidden space: ``W = U Ŵ``, gate by gate."""
    other = type(layer)(3, 5, momentum=rule, dtype=torch.float64)
    other.load_state_dict(dict(layer.state_dict()))
    with torch.no_grad():
        blocks = layer.weight_hh_l0.split(5, 0)
        for name in ("weight_ih_l0", "bias_ih_l0"):
            parts = getattr(layer, name).split(5, 0)
            found = [u @ w for u, w in zip(blocks, parts, strict=True)]
            getattr(other, name).copy_(torch.cat(found))
    return other


@pytest.mark.parametrize("kind", KINDS)
def test_equations_9_and_10_are_equivalent(kind):
    layer, _ = _made(kind, tnn.Momentum(0.6, 0.9, space="hidden"))
    x = torch.randn(STEPS, 4, 3, dtype=torch.float64)
    _equal([layer(x)[0]], [_in_gate_space(layer, tnn.Momentum(0.6, 0.9))(x)[0]])


@pytest.mark.parametrize("mu", [0.0, 0.6])
@pytest.mark.parametrize("kind", KINDS)
def test_equation_14_is_adam_in_hidden_space(kind, mu):
    s, beta, eps = 0.9, 0.7, 1e-3  # an inverse of U and a root: not of what is nearly zero
    layer, _ = _made(kind, tnn.Adam(mu, s * (1 - mu), beta, eps, space="hidden"))
    with torch.no_grad():
        for block in layer.weight_hh_l0.split(5, 0):
            nn.init.orthogonal_(block)
    plain = _in_gate_space(layer, None)
    x = torch.randn(STEPS, 4, 3, dtype=torch.float64)
    weights = [plain.weight_ih_l0, plain.weight_hh_l0, plain.bias_ih_l0, plain.bias_hh_l0]
    rule = cells.equation_14(mu, s, beta, eps, plain.weight_hh_l0)
    _equal([layer(x)[0]], [KINDS[kind][1](rule, x, *weights)[0]])


@pytest.mark.parametrize("name", HIDDEN)
def test_a_stream_of_one_step_cells_equals_the_layer_in_hidden_space(name):
    layer, _ = _made("lstm", HIDDEN[name]())
    cell = tnn.LSTMCell(3, 5, momentum=HIDDEN[name](), dtype=torch.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, hidden, v = torch.randn(20, 4, 3, dtype=torch.float64), None, None
    out, _ = layer(x)
    for t in range(20):
        h, hidden, v = cell(x[t], hidden, v)
        _equal([h], [out[t]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tnn.Momentum(space="cell"), "space must be one of gates, hidden, got 'cell'"),
        (
            lambda: tnn.AdamLSTM(3, 4, proj_size=2, space="hidden"),
            "proj_size must be 0 for a rule with space='hidden', got 2",
        ),
    ],
)
def test_what_hidden_space_has_not_is_named(make, message):
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(") + "$"):
        make()


def test_hidden_space_is_shown_and_a_rule_that_reads_the_state_has_none():
    assert repr(tnn.Nesterov(space="hidden")).endswith("restart=None, space='hidden')")

    class Lookahead(tnn.NesterovLookahead):
        space = "hidden"

    rule = Lookahead(0.9)
    rule.space = "hidden"
    for make in (tnn.LSTM, tnn.LSTMCell):
        with pytest.raises(ValueError, match="space must be 'gates' for Lookahead"):
            make(3, 4, momentum=rule)


# section 2.3: equations (12) and (13), and what backpropagation computes


def _states():
    """A MomentumRNN's states, and all that the equations name."""
    layer = tnn.MomentumRNN(3, 4, mu=0.6, step_size=0.9, dtype=torch.float64)
    nn.init.zeros_(layer.bias_hh_l0)
    x = torch.randn(6, 1, 3, dtype=torch.float64)
    drive = 0.9 * (x @ layer.weight_ih_l0.T + layer.bias_ih_l0)
    return layer, x, layer(x)[0].detach(), drive.detach()


@pytest.mark.parametrize("mu", [0.0, 0.6])
def test_equations_16_and_17_are_what_backpropagation_through_time_computes(mu):
    """Of the loss summed over steps, with respect to U: momentum changes the states alone."""
    layer = tnn.MomentumRNN(3, 4, mu=mu, step_size=0.9, dtype=torch.float64)
    x, c = torch.randn(6, 1, 3).double(), torch.randn(6, 4).double()
    h = layer(x)[0][:, 0]
    (h.sin() * c).sum().backward()  # L = sum of L_t, L_t = c_t sin(h_t)
    h, u = h.detach(), layer.weight_hh_l0.detach()
    slopes, states = c * h.cos(), torch.cat([torch.zeros(1, 4).double(), h])
    d, expected = [torch.diag(1 - each**2) for each in h], torch.zeros(4, 4).double()
    for t in range(6):
        passed = slopes[t]  # dL_t/dh_t, and on to dL_t/dh_k
        for k in range(t, -1, -1):
            expected += torch.outer(d[k] @ passed, states[k])
            passed = u.T @ (d[k] @ passed)
    torch.testing.assert_close(layer.weight_hh_l0.grad, expected, rtol=0, atol=1e-12)


def test_equation_12_holds():
    """h_t = sigma(U (h_{t-1} - mu h_{t-2}) + mu sigma^{-1}(h_{t-1}) + s W x_t): a minus."""
    layer, _, h, drive = _states()
    u = layer.weight_hh_l0.T
    for t in range(2, 6):
        expected = torch.tanh(
            (h[t - 1] - 0.6 * h[t - 2]) @ u + 0.6 * torch.atanh(h[t - 1]) + drive[t]
        )
        torch.testing.assert_close(h[t], expected, rtol=0, atol=1e-12)


def test_equation_13_is_the_jacobian_of_12_where_the_state_before_is_held():
    """D [U + mu Sigma], Sigma = diag of the inverse's derivative."""
    layer, _, h, drive = _states()
    u = layer.weight_hh_l0.detach()
    for t in range(2, 6):
        found = torch.autograd.functional.jacobian(
            lambda now, t=t: torch.tanh(
                u @ (now - 0.6 * h[t - 2, 0]) + 0.6 * torch.atanh(now) + drive[t, 0]
            ),
            h[t - 1, 0],
        )
        d, sigma = torch.diag(1 - h[t, 0] ** 2), torch.diag(1 / (1 - h[t - 1, 0] ** 2))
        torch.testing.assert_close(found, d @ (u + 0.6 * sigma), rtol=0, atol=1e-12)


def test_backpropagation_computes_d_times_u():
    """The velocity depends on the inputs alone: training follows D U, not (13)."""
    layer, x, h, _ = _states()
    u = layer.weight_hh_l0.detach()
    _, state = layer(x[:3], layer.initial_state(1, dtype=torch.float64))
    before, velocity = state[0].detach(), state[1]
    found = torch.autograd.functional.jacobian(
        lambda now: layer(x[3:4], (now.view(1, 1, 4), velocity))[0].view(4), before.view(4)
    )
    d = torch.diag(1 - h[3, 0] ** 2)
    torch.testing.assert_close(found, d @ u, rtol=0, atol=1e-12)
    sigma = torch.diag(1 / (1 - h[2, 0] ** 2))
    assert torch.linalg.norm(found - d @ (u + 0.6 * sigma)) > 0.1
