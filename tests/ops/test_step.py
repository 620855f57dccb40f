"""One step of a stream in one call, beside the definitions in float64."""

import pytest
import torch
from torch.nn.functional import linear

from torchmomentum.ops import PLAIN, Moments, Velocity, adam_scan_definition, available, timed
from torchmomentum.ops.cells import GRU, LSTM, RNN_RELU, RNN_TANH, Weights
from torchmomentum.ops.cpu.step import step

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")
CELLS = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN_TANH, "RNN_RELU": RNN_RELU}
MU, GAIN, BETA, EPS = 0.7, 1.3, 0.9, 1e-8


def _drawn(cell, batch, inputs, hidden, *, bias=True):
    width = cell.gates * hidden
    x, ih, hh = torch.randn(batch, inputs), torch.randn(width, inputs), torch.randn(width, hidden)
    state = tuple(torch.rand(batch, hidden) - 0.5 for _ in cell.states)
    biases = (torch.randn(width), torch.randn(width)) if bias else (None, None)
    moments = torch.randn(batch, width), torch.rand(batch, width)
    return x, state, (ih, hh / hidden**0.5, *biases), moments


def _rule(kind, velocity, rms):
    if kind == "velocity":
        return Velocity(velocity, MU, GAIN)
    return Moments(velocity, rms, MU, GAIN, BETA, EPS) if kind == "moments" else None


def _expected(cell, x, state, weights, kind, velocity, rms):
    """What the definitions say, in float64."""
    ih, hh, bias_ih, bias_hh = [None if w is None else w.double() for w in weights]
    state, velocity, rms = [s.double() for s in state], velocity.double(), rms.double()
    y = x.double() if ih is None else linear(x.double(), ih, bias_ih)
    kept = []
    if kind == "velocity":
        y = MU * velocity + GAIN * y
        kept = [y]
    elif kind == "moments":
        numbers = torch.tensor(MU), torch.tensor(GAIN)
        found = adam_scan_definition(y[None], velocity, rms, *numbers, None, BETA, EPS)
        y, kept = found[0][0], [*found[1:]]
    new = cell.step(y, state, Weights(hh, bias_hh, {}), state[0], PLAIN)
    return [*new, *kept]


@pytest.mark.parametrize("kind", ["none", "velocity", "moments"])
@pytest.mark.parametrize("name", CELLS)
def test_equals_the_definitions(name, kind, threads):
    """Few rows and many, sizes beside a vector's and a share's, with biases and without."""
    cell = CELLS[name]
    for batch, inputs, hidden in ((1, 1, 1), (1, 40, 33), (3, 16, 20), (9, 5, 16), (2, 300, 150)):
        for bias in (True, False):
            x, state, weights, moments = _drawn(cell, batch, inputs, hidden, bias=bias)
            ih, hh, bias_ih, bias_hh = weights
            found = step(cell, x, state, ih, hh, bias_ih, bias_hh, _rule(kind, *moments))
            expected = _expected(cell, x, state, weights, kind, *moments)
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("name", CELLS)
def test_what_a_rule_made_is_read_as_it_is(name):
    cell = CELLS[name]
    for batch in (2, 9):
        _, state, (_, hh, _, bias_hh), moments = _drawn(cell, batch, 3, 21)
        y = torch.randn(batch, cell.gates * 21)
        given = y.clone(), *[s.clone() for s in state]
        found = step(cell, y, state, None, hh, None, bias_hh)
        expected = _expected(cell, y, state, (None, hh, None, bias_hh), "none", *moments)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, check_dtype=False)
        assert all(map(torch.equal, given, (y, *state)))  # nothing that was given is written to


def test_what_was_given_stays_and_may_be_of_any_strides():
    x, state, weights, moments = _drawn(LSTM, 3, 5, 6)
    ih, hh, bias_ih, bias_hh = weights
    rule = _rule("moments", *moments)
    plain = step(LSTM, x, state, ih, hh, bias_ih, bias_hh, rule)
    apart = [torch.stack([t, t], -1)[..., 0] for t in (x, *state, *weights, *moments)]
    assert not any(t.is_contiguous() for t in apart)
    before = [t.clone() for t in apart]
    x, h, c, ih, hh, bias_ih, bias_hh, *moments = apart
    found = step(LSTM, x, (h, c), ih, hh, bias_ih, bias_hh, _rule("moments", *moments))
    assert all(map(torch.equal, found, plain))
    assert all(map(torch.equal, apart, before))


def test_drives_are_bounded_and_what_is_no_number_is_seen():
    x, state, weights, moments = _drawn(LSTM, 1, 2, 4)
    ih, hh, bias_ih, bias_hh = weights
    for kind in ("velocity", "moments"):
        given = torch.full_like(x, 1e30), state, ih.abs(), hh, bias_ih, bias_hh
        found = step(LSTM, *given, _rule(kind, *moments))
        assert all(t.isfinite().all() for t in found)
        found = step(LSTM, torch.full_like(x, torch.nan), *given[1:], _rule(kind, *moments))
        assert found[0].isnan().all()


def test_it_is_one_call():
    x, state, (ih, hh, bias_ih, bias_hh), moments = _drawn(LSTM, 1, 5, 6)
    with timed() as seconds:
        step(LSTM, x, state, ih, hh, bias_ih, bias_hh, _rule("moments", *moments))
    assert [*seconds] == ["cell_step"]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (0, "x"),
        (1, "state"),  # h says how many rows there are
        (2, "state"),
        (3, "weight_ih"),
        (4, "weight_hh"),
        (5, "bias_ih"),
        (6, "bias_hh"),
        *((n, "moments") for n in (7, 8)),
    ],
)
def test_a_shape_that_does_not_fit_is_named_not_read_past(wrong, name):
    x, state, weights, moments = _drawn(LSTM, 3, 5, 6)
    given = [x, *state, *weights, *moments]
    given[wrong] = given[wrong][:-1]
    x, h, c, ih, hh, bias_ih, bias_hh, *moments = given
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        step(LSTM, x, (h, c), ih, hh, bias_ih, bias_hh, _rule("moments", *moments))


def test_what_a_rule_made_is_of_the_gates_width():
    _, state, (_, hh, _, bias_hh), _ = _drawn(LSTM, 3, 5, 6)
    for y in (torch.randn(1, 24), torch.randn(3, 23)):
        with pytest.raises(ValueError, match="x must have shape"):
            step(LSTM, y, state, None, hh, None, bias_hh)
