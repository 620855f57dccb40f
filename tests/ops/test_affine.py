"""Products of many rows beside PyTorch's."""

import pytest
import torch
from torch.nn.functional import linear

from torchmomentum.ops import _affine, affine, available

ROWS = [(300,), (70, 5)]


def _tensors(rows, inputs, width, bias, dtype=torch.float32, **options):
    shapes = [(*rows, inputs), (width, inputs), *([(width,)] if bias else [])]
    return [torch.randn(shape, dtype=dtype, requires_grad=True, **options) for shape in shapes]


def _gradients(function, tensors, again=False):
    out = function(*tensors)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return out, torch.autograd.grad((out * weights).sum(), tensors, create_graph=again)


@pytest.fixture
def products(monkeypatch):
    """How many of our products are made."""
    found, product = [], _affine.product
    monkeypatch.setattr(_affine, "product", lambda *a: (found.append(a), product(*a))[1])
    return found


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "width"), [(1, 40), (10, 30), (31, 7), (32, 17), (200, 10)])
@pytest.mark.parametrize("rows", ROWS)
def test_equals_linear(rows, inputs, width, bias, products):
    tensors = _tensors(rows, inputs, width, bias)
    found = _gradients(affine, tensors)
    assert len(products) == (3 if inputs < 32 else 2)  # values, input and a narrow weight
    exact = _gradients(linear, [t.detach().double().requires_grad_() for t in tensors])
    for ours, theirs in zip((found[0], *found[1]), (exact[0], *exact[1]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4, check_dtype=False)
        assert ours.is_contiguous()


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_any_strides_and_no_gradient(products):
    x = torch.randn(5, 300, 3).transpose(0, 1)
    weight = torch.randn(3, 8).t()
    torch.testing.assert_close(affine(x, weight), linear(x, weight), rtol=1e-5, atol=1e-5)
    assert len(products) == 1
    bias = torch.randn(16)[::2].requires_grad_()
    found = _gradients(lambda b: affine(x, weight, b), [bias])
    expected = _gradients(lambda b: linear(x, weight, b), [bias])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_gradients(bias):
    tensors = _tensors((300,), 3, 4, bias)
    both = []
    for function in (affine, linear):
        first = sum(g.square().sum() for g in _gradients(function, tensors, again=True)[1])
        both.append(torch.autograd.grad(first, tensors[:2]))
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-2)


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_a_sign_that_is_a_bit_is_read(products):
    x, weight, bias = (torch.randn(shape) for shape in ((300, 3), (4, 3), (4,)))
    found = affine(*map(torch._neg_view, (x, weight, bias)))
    torch.testing.assert_close(found, linear(-x, -weight, -bias), rtol=1e-5, atol=1e-5)
    tensors = [x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    ones = torch.ones(300, 4)
    found = torch.autograd.grad(affine(*tensors), tensors, torch._neg_view(ones))
    expected = torch.autograd.grad(linear(*tensors), tensors, -ones)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert len(products) == 4


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
def test_the_gradients_of_many_rows_are_sums_of_sums():
    x, weight, bias = _tensors((100_000,), 2, 3, True)
    grad = torch.rand(100_000, 3)
    found = torch.autograd.grad(affine(x, weight, bias), (weight, bias), grad)
    exact = grad.double().t() @ x.detach().double(), grad.double().sum(0)
    torch.testing.assert_close(found[1].double(), exact[1], rtol=1e-6, atol=0)
    torch.testing.assert_close(found[0].double(), exact[0], rtol=0, atol=5e-3)


def test_what_does_not_fit_is_told_as_linear_tells_it(products):
    x = torch.randn(300, 5)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        affine(x, torch.randn(4, 3))
    assert affine(x, torch.randn(4, 5), torch.ones(1)).shape == (300, 4)
    assert affine(x[:, :0], torch.randn(4, 0)).abs().sum() == 0
    assert products == []


@pytest.mark.parametrize(
    ("rows", "dtype"), [((255,), torch.float32), ((0,), torch.float32), ((300,), torch.float64)]
)
def test_what_is_not_served_is_linear(rows, dtype, products):
    tensors = _tensors(rows, 3, 4, True, dtype)
    assert torch.equal(affine(*tensors), linear(*tensors))
    assert products == []


def test_transforms_and_autocast_are_linear(products):
    x, weight = torch.randn(2, 300, 3), torch.randn(4, 3)
    found = torch.func.vmap(affine, (0, None))(x, weight)
    torch.testing.assert_close(found, linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert affine(x, weight).dtype == torch.bfloat16
    assert products == []
