"""Writes to a state that carries momentum: followed, or the momentum is lost."""

import pytest
import torch

import torchmomentum.nn as tnn

T, B, N, H, CUT = 9, 5, 3, 4, 4


def _write_index_fill(h, done):
    h.index_fill_(1, done.nonzero().flatten(), 0.0)


def _write_view(h, done):
    h[:, 0].squeeze(0).sub_(h[:, 0].squeeze(0))  # a plain tensor of the same memory


def _write_out(h, done):
    torch.mul(h, (~done).view(1, -1, 1), out=h)


# writes to a state that its momentum does not follow
WRITES = {
    "index_fill_": _write_index_fill,
    "clamp_": lambda h, done: h.clamp_(-0.0, 0.0),
    "normal_": lambda h, done: h.normal_(),
    "-=": lambda h, done: h.__isub__(h.clone()),
    "out": _write_out,
    "a plain tensor of its memory": lambda h, done: h.as_subclass(torch.Tensor).zero_(),
    "a row": lambda h, done: h[:, 0].clamp_(0.0, 0.0),
    "a factor for each feature": lambda h, done: h.mul_(torch.zeros(H)),
    "two such factors": lambda h, done: [h.mul_(torch.zeros(H)) for _ in range(2)],
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_is_not_followed_loses_the_momentum(write, inference):
    layer, x = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    done = torch.tensor([True, False, False, True, False])
    if inference and write in ("out", "a plain tensor of its memory"):
        pytest.skip("inference mode does not count writes")
    with torch.inference_mode(inference), torch.no_grad():
        h, unasked = (layer(x[:CUT])[1] for _ in range(2))
        other = h.detach()
        for each in (h, unasked):
            WRITES[write](each, done)
        assert (h.momentum_features(), other.momentum_features()) == (None, None)
        with pytest.warns(UserWarning, match="has no momentum with it"):
            layer(x[CUT:], torch.ones(1, B, H) if not h.any() else h)
        plain, zero = unasked.as_subclass(torch.Tensor), layer.initial_state(B)[1]
        assert torch.equal(layer(x[CUT:], unasked)[0], layer(x[CUT:], (plain, zero))[0])


def test_a_write_to_a_view_is_followed():
    """A row of a state, as the environment's whose episode ends."""
    layer, x = tnn.LSTM(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    with torch.no_grad():
        h, c = layer(x[:CUT])[1]
        for state in (h, c):
            state[:, 1].zero_()
        found, _ = layer(x[CUT:], (h, c))
        torch.testing.assert_close(found[:, 1], layer(x[CUT:])[0][:, 1])
        torch.testing.assert_close(found[:, 2:], layer(x)[0][CUT:, 2:])


def test_a_state_is_asked_for_its_gradient_and_kept():
    layer, x = tnn.GRU(N, H, momentum=tnn.Momentum(0.9, 0.9)), torch.randn(T, B, N)
    h = layer(x[:CUT])[1].detach().requires_grad_()
    torch.testing.assert_close(layer(x[CUT:], h)[0], layer(x)[0][CUT:])


def test_a_state_is_split_like_any_tensor():
    layer = tnn.LSTM(N, 2 * H, momentum=tnn.Momentum(0.9, 0.9))
    h, _ = layer(torch.randn(T, B, N))[1]
    plain = h.as_subclass(torch.Tensor)
    for change in (
        lambda t: t.split(2, -1),
        lambda t: torch.split(t, 1, 2),
        lambda t: t.unbind(-1),
        lambda t: [*t[0, 0]],
        lambda t: [t[0, 0, 0].squeeze(), t[0, 0].roll(1), t[0].flip(-1), t * t, *t[0]],
    ):
        for found, expected in zip(change(h), change(plain), strict=True):
            assert torch.equal(found, expected)
    assert h.type() == plain.type()
    narrow = tnn.GRU(1, H, momentum=tnn.Momentum(0.9, 0.9), bias=False)(torch.randn(T, 1, 1))[1]
    assert narrow.squeeze().shape == (H,)
    for lost in (h * h, h.flip(-1), h.roll(1)):
        assert type(lost) is torch.Tensor
