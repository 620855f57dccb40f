"""A gain: momentum without momentum."""

import pytest
import torch

from torchmomentum.nn import LSTM, Gain, LSTMCell, Momentum


def test_a_gain_is_momentum_without_momentum_and_has_no_state():
    """To the bit, in layers, and in a stream of cells."""
    x, lengths = torch.randn(7, 4, 3), torch.tensor([7, 3, 5, 1])
    layer, other = LSTM(3, 8, momentum=Gain(8.0)), LSTM(3, 8, momentum=Momentum(0.0, 8.0))
    other.load_state_dict(dict(layer.state_dict()))
    assert torch.equal(layer(x, lengths=lengths)[0], other(x, lengths=lengths)[0])
    cell = LSTMCell(3, 8, momentum=Gain(8.0))
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    hidden = v = None
    for step, expected in zip(x, layer(x)[0], strict=True):
        h, hidden, v = cell(step, hidden, v)
        torch.testing.assert_close(h, expected)
    assert v == ()


def test_a_learned_gain_trains_and_can_be_reset():
    rule = Gain(8.0, learnable=True)
    found, state = rule.scan(torch.ones(2, 1, 1))
    assert state == ()
    found.sum().backward()
    assert rule.log_step_size.grad == pytest.approx(16.0)  # of 2 g, by its logarithm
    with torch.no_grad():
        rule.log_step_size.zero_()
    assert rule.gain.item() == 1.0
    rule.reset_parameters()
    assert rule.gain.item() == pytest.approx(8.0)
    assert repr(rule) == "Gain(gain=8, learnable=True)"


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), 1e6])
def test_a_gain_out_of_its_range_is_named(wrong):
    with pytest.raises(ValueError, match=r"gain must be in \(0, 1e\+06\), got"):
        Gain(wrong)
