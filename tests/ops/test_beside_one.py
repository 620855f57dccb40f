"""The filter over an input and a channel of ones against ``linear_scan`` over both."""

import pytest
import torch
from torch.nn.functional import pad

import torchmomentum.nn as tnn
from torchmomentum.ops import (
    Velocity,
    available,
    filter_beside_one,
    largest_drive,
    linear_scan,
    serves_beside_one,
    timed,
)

pytestmark = pytest.mark.skipif(not available(), reason="no compiled kernels here")


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 3, 8), (7, 1, 33), (5, 4, 16), (40, 61, 17), (3, 2, 0)]
)
@pytest.mark.parametrize(("mu", "gain"), [(0.6, 1.0), (0.0, 0.3), (0.9, 7.0)])
def test_a_kernel_filters_the_input_and_ones_as_the_padded_input(shape, mu, gain):
    _, batch, width = shape
    x, velocity = torch.randn(shape), torch.randn(batch, width + 1)
    found, last = filter_beside_one(x, Velocity(velocity, mu, gain))
    drives = pad(x, (0, 1), value=1.0)
    expected = linear_scan(drives, mu, velocity, gain=gain, bound=largest_drive(x, gain))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(last, found[-1])
    assert last.untyped_storage().data_ptr() != found.untyped_storage().data_ptr()


def test_a_kernel_bounds_the_input_beside_ones():
    x = torch.tensor([[[3e38, -3e38, 1.0]]]).expand(4, 2, 3)
    found, last = filter_beside_one(x, Velocity(torch.zeros(2, 4), 0.9, 2.0))
    assert found.isfinite().all()
    torch.testing.assert_close(found[0, 0, 0], torch.tensor(2.0 * largest_drive(x, 2.0)))
    torch.testing.assert_close(last[:, 2], last[:, 3])


@pytest.mark.parametrize("shape", [(3, 5, 14), (1, 1, 1)])  # of one number it is contiguous too
def test_a_kernel_reads_any_strides_and_signs_beside_ones(shape):
    x = torch.view_as_complex(torch.randn(*shape, 2)).conj().imag  # a view that is negative
    assert x.is_neg()
    velocity = torch.randn(shape[2] + 1, shape[1]).t()
    found, _ = filter_beside_one(x, Velocity(velocity, 0.5, 1.0))
    expected, _ = filter_beside_one(x.clone(), Velocity(velocity.contiguous(), 0.5, 1.0))
    assert torch.equal(found, expected)


def test_a_velocity_of_another_shape_is_rejected():
    with pytest.raises(ValueError, match=r"velocity must be \[2, 4\]"):
        filter_beside_one(torch.ones(1, 2, 3), Velocity(torch.zeros(2, 3), 0.5, 1.0))


def test_a_kernel_serves_beside_one_where_no_gradient_is_asked():
    x, mu = torch.ones(1, 2, 3), torch.tensor(0.5)
    assert serves_beside_one(x, 0.5)
    assert serves_beside_one(x, mu)
    for t in (x, mu):
        t.requires_grad_()
        assert not serves_beside_one(x, mu)
        with torch.no_grad():
            assert serves_beside_one(x, mu)
        t.requires_grad_(False)


def test_a_kernel_serves_beside_one_in_float32():
    assert not serves_beside_one(torch.ones(1, 2, 3).double())
    assert not serves_beside_one(torch.ones(1, 2, 3), torch.zeros(2, 4).double())


def test_a_layer_computes_the_same_by_the_kernel_and_where_the_input_needs_a_gradient(fast):
    torch.manual_seed(0)
    layer = tnn.LSTM(3, 5, momentum=tnn.Momentum(0.7, 1.3))
    x = torch.randn(6, 2, 3)
    with timed() as kernels:
        out, state = layer(x)
    assert [*kernels] == ["layer_forward"]
    with timed() as kernels:
        differentiated, other = layer(x.clone().requires_grad_())
    assert [*kernels] == ["filter", "layer_forward"]
    torch.testing.assert_close(out, differentiated)
    outs = (out, differentiated)
    grads = [torch.autograd.grad(y.square().sum(), [*layer.parameters()]) for y in outs]
    torch.testing.assert_close(*grads)
    with torch.no_grad():  # both states carry the same momentum on
        torch.testing.assert_close(layer(x, state)[0], layer(x, other)[0])


class _Hidden(tnn.Momentum):
    """It learns its momentum, and hands it to the kernel as a number."""

    def __init__(self):
        super().__init__(0.5, 1.0)
        self.a = torch.nn.Parameter(torch.zeros(()))

    @property
    def mu(self):
        return torch.sigmoid(self.a)

    def velocity(self, state):
        return Velocity(state[0], self.mu.item(), 1.0)


def test_a_rule_with_parameters_gets_their_gradient_and_the_kernel_without(fast):
    layer = tnn.LSTM(3, 5, momentum=_Hidden())
    out, _ = layer(torch.randn(6, 2, 3))
    out.square().sum().backward()
    assert layer.momentum.a.grad.abs() > 0
    for rule in (layer.momentum, tnn.Momentum(0.5, 1.0, learnable=True)):
        layer.momentum = rule
        with torch.no_grad(), timed() as kernels:
            layer(torch.randn(6, 2, 3))
        assert [*kernels] == ["layer_forward"]


class _Warm(tnn.Momentum):
    """It begins at one."""

    def fresh_state(self, drives):
        return type(super().fresh_state(drives))(torch.ones(drives.shape[1:]))


def test_a_rule_that_begins_elsewhere_begins_there_in_every_layer():
    layer, x = tnn.LSTM(3, 5, momentum=_Warm()), torch.randn(6, 2, 3)
    differentiated = layer(x.clone().requires_grad_())[0]
    torch.testing.assert_close(layer(x)[0], differentiated)
    layer.momentum = tnn.Momentum()
    assert not torch.equal(layer(x)[0], differentiated)
