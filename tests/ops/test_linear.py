import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchmomentum.ops import available, linear_scan, linear_scan_definition
from torchmomentum.ops.cpu import library
from torchmomentum.ops.filters import linear as filters
from torchmomentum.ops.filters.linear import _NARROW


def _tensors(time, batch, width, decay_shape):
    x = torch.randn(time, batch, width, dtype=torch.float64, requires_grad=True)
    decay = torch.rand(decay_shape, dtype=torch.float64, requires_grad=True)
    initial = torch.randn(batch, width, dtype=torch.float64, requires_grad=True)
    return x, decay, initial


@settings(deadline=None, max_examples=60)
@given(
    time=st.integers(1, 90),
    batch=st.integers(1, 4),
    width=st.integers(1, 5),
    kind=st.sampled_from(["shared", "batch", "full", "number"]),
    reverse=st.booleans(),
    gain=st.sampled_from([1.0, 0.3]),
    bound=st.sampled_from([math.inf, 0.8]),
)
def test_equals_its_definition(time, batch, width, kind, reverse, gain, bound):
    shape = {"shared": (time, 1, 1), "batch": (time, batch, 1), "full": (time, batch, width)}
    x, decay, initial = _tensors(time, batch, width, shape.get(kind, (time, 1, 1)))
    given_decay = decay
    if kind == "number":
        given_decay = 0.7
        decay = torch.full((time, 1, 1), 0.7, dtype=torch.float64, requires_grad=True)
    found = linear_scan(x, given_decay, initial, gain=gain, bound=bound, reverse=reverse)
    expected = linear_scan_definition(x, decay, initial, gain, reverse, bound)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = torch.randn_like(found)
    inputs = [x, initial] + ([] if kind == "number" else [decay])
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 2, 1), (4, 2, 3)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bound", [math.inf, 0.7])
def test_both_orders_of_gradients(shape, reverse, bound):
    tensors = _tensors(4, 2, 3, shape)

    def run(*args):
        return linear_scan(*args, gain=0.5, bound=bound, reverse=reverse)

    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def test_both_orders_of_gradients_with_a_number():
    x, _, initial = _tensors(4, 2, 3, (4, 1, 1))
    assert torch.autograd.gradcheck(lambda *a: linear_scan(a[0], 0.6, a[1]), (x, initial))
    assert torch.autograd.gradgradcheck(lambda *a: linear_scan(a[0], 0.6, a[1]), (x, initial))


def test_wide_input_takes_the_other_way_to_the_same_values():
    x = torch.randn(40, 3, _NARROW, dtype=torch.float64)
    zero = torch.zeros(3, _NARROW, dtype=torch.float64)
    wide = linear_scan(x, 0.9, zero)
    narrow = linear_scan(x[..., :5], 0.9, zero[:, :5])
    torch.testing.assert_close(wide[..., :5], narrow, rtol=0, atol=1e-12)


def test_no_channels_and_non_contiguous_input():
    assert linear_scan(torch.zeros(3, 0, 2), 0.5, torch.zeros(0, 2)).shape == (3, 0, 2)
    x = torch.randn(2, 5, 3).transpose(0, 1)
    zero = torch.zeros(2, 3)
    torch.testing.assert_close(
        linear_scan(x, 0.5, zero), linear_scan(x.contiguous(), 0.5, zero), rtol=0, atol=1e-6
    )


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("internal", [False, True])
def test_what_a_user_may_keep_is_a_tensor_as_any_other(internal):
    x = torch.randn(100, 64, 100, requires_grad=True)
    y = linear_scan(x, 0.5, torch.zeros(64, 100), internal=internal)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert [each.detach().untyped_storage().resizable() for each in (y, grad)] == [not internal] * 2


@pytest.mark.parametrize("bound", [-1.0, math.nan])
def test_a_bound_out_of_its_range_is_refused(bound):
    with pytest.raises(ValueError, match=f"bound must be at least 0, got {bound}"):
        linear_scan(torch.ones(5, 2, 3), 0.5, torch.zeros(2, 3), bound=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sign_that_is_a_bit_is_read(dtype):
    x = torch.randn(9, 2, 3, dtype=dtype, requires_grad=True)
    y = linear_scan(x, 0.5, torch.zeros(2, 3, dtype=dtype), bound=1.0)
    found = torch.autograd.grad(y, x, torch._neg_view(torch.ones_like(y)))
    torch.testing.assert_close(
        found,
        torch.autograd.grad(
            linear_scan(x, 0.5, torch.zeros(2, 3, dtype=dtype), bound=1.0), x, -torch.ones_like(y)
        ),
    )


def test_kernels_are_not_asked_for_what_they_cannot_read(monkeypatch):
    """Asking may build them, which takes seconds."""
    monkeypatch.setattr(library, "available", lambda: pytest.fail("asked"))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert linear_scan(x, 0.5, torch.zeros(2, 3)).dtype == torch.float64


def test_a_decay_of_another_length_is_refused():
    with pytest.raises(ValueError, match="one entry, or one for each of the 5 steps, got 2"):
        linear_scan(torch.ones(5, 2, 3), torch.ones(2, 1, 1), torch.zeros(2, 3))


def test_states_of_another_type():
    x, decay = torch.randn(5, 2, 3), torch.full((5, 1, 1), 0.5)
    expected = linear_scan(x, decay, torch.ones(2, 3))
    found = linear_scan(x, decay.double(), torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(found, expected, check_dtype=False)


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("decay", [0.7, (1, 1, 37), (9, 1, 1), (9, 5, 1), (9, 1, 37), (9, 5, 37)])
@pytest.mark.parametrize("bound", [math.inf, 0.8])
def test_the_compiled_filter(decay, reverse, bound, monkeypatch):
    """In both directions, each step or channel of its own decay, and nothing around it read."""
    called, call = [], filters.call
    monkeypatch.setattr(filters, "call", lambda name, *a: (called.append(name), call(name, *a))[1])
    around = torch.full((11, 5, 37), float("nan"))
    x, initial = around[1:10], torch.randn(5, 37)
    x.normal_()
    decay = decay if isinstance(decay, float) else torch.rand(decay)
    inputs = x.requires_grad_(), initial.requires_grad_()
    found = linear_scan(x, decay, initial, gain=0.5, bound=bound, reverse=reverse)
    weights = torch.randn_like(found)
    gradients = torch.autograd.grad((found * weights).sum(), inputs)
    assert called == ["filter", "filter_gradient"]  # one pass for the gradients of both
    exact = decay if isinstance(decay, float) else decay.double()
    doubles = [each.detach().double().requires_grad_() for each in inputs]
    expected = linear_scan_definition(doubles[0], exact, doubles[1], 0.5, reverse, bound)
    theirs = torch.autograd.grad((expected * weights).sum(), doubles)
    for a, b in zip((found, *gradients), (expected, *theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, check_dtype=False)
    # what is differentiated again, or with respect to the decay, goes the other way
    again = linear_scan(x, decay, initial, gain=0.5, bound=bound, reverse=reverse)
    other = torch.autograd.grad((again * weights).sum(), inputs, create_graph=True)
    assert called[2:] == ["filter", "filter"]
    torch.testing.assert_close(other, gradients)


def test_a_bound_holds_infinity_and_lets_nan_through():
    x = torch.tensor([math.inf, -math.inf, math.nan, 1.0], requires_grad=True)
    for dtype in (torch.float32, torch.float64):
        drives = x.to(dtype).view(1, 1, 4)
        found = linear_scan(drives, 0.5, torch.zeros(1, 4, dtype=dtype), gain=2.0, bound=3.0)
        assert found.flatten().tolist()[:2] == [6.0, -6.0]
        assert found.flatten()[2].isnan()
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert gradient.tolist() == [0.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize(("bound", "kept"), [(math.inf, []), (1.0, [(9, 2, 3)])])
def test_drives_are_kept_where_they_have_a_bound_alone(bound, kept):
    x, found = torch.randn(9, 2, 3, requires_grad=True), []

    def keep(saved):
        found.append(tuple(saved.shape))
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        linear_scan(x, 0.5, torch.zeros(2, 3), bound=bound)
    assert found == [(2, 3), *kept]


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ((1, 2, 3), "_by_step"),
        ((9, 2, 3), "_by_product"),
        ((9, 1, _NARROW), "_by_product"),
        ((9, 1, _NARROW + 1), "_by_step"),
    ],
)
@pytest.mark.parametrize("decay", ["number", "of each step"])
def test_short_and_wide_sequences_go_step_by_step(shape, way, decay, monkeypatch):
    """In double precision, which has no kernel: a product of triangles pays for narrow ones."""
    called = []
    for name in ("_by_step", "_by_product"):
        original = getattr(filters, name)

        def observed(*arguments, name=name, original=original):
            called.append(name)
            return original(*arguments)

        monkeypatch.setattr(filters, name, observed)
    x, initial = torch.randn(shape, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    each = 0.5 if decay == "number" else torch.full((shape[0], 1, 1), 0.5, dtype=torch.float64)
    found = linear_scan(x, each, initial)
    assert called == [way]
    torch.testing.assert_close(found, linear_scan_definition(x, each, initial))


@pytest.mark.parametrize("decay", [0.7, (9, 1, 1), (9, 3, 2)])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_hold_the_value(decay, reverse):
    """Beyond a sequence's end it stays; from the end on backwards it begins there."""
    x, initial = torch.randn(9, 3, 2).double(), torch.randn(3, 2).double()
    decay = decay if isinstance(decay, float) else torch.rand(decay).double()
    lengths = torch.tensor([9, 1, 4])
    found = linear_scan(x, decay, initial, reverse=reverse, lengths=lengths)
    for i, n in enumerate(lengths.tolist()):
        each = decay
        if isinstance(decay, torch.Tensor):
            each = decay.expand_as(x)[:n, i : i + 1]
        alone = linear_scan(x[:n, i : i + 1], each, initial[i : i + 1], reverse=reverse)
        torch.testing.assert_close(found[:n, i : i + 1], alone)
        rest = initial[i] if reverse else alone[-1, 0]
        torch.testing.assert_close(found[n:, i], rest.expand(9 - n, 2))


def test_the_definition_by_hand():
    x, start = torch.tensor([1.0, 2, 4]).view(3, 1, 1), torch.tensor(8.0)
    assert linear_scan_definition(x, 0.5, start).flatten().tolist() == [5.0, 4.5, 6.25]
    back = linear_scan_definition(x, 0.5, start, 2.0, reverse=True).flatten().tolist()
    assert back == [2 + 0.5 * (4 + 0.5 * 12), 4 + 0.5 * 12, 8 + 0.5 * 8]


@pytest.mark.parametrize("shape", [(5, 2, 7), (5, 3, 4), (5, 4), (5,)])
def test_a_decay_that_does_not_fit_is_named(shape):
    x = torch.zeros(5, 2, 4)
    with pytest.raises(ValueError, match=r"decay must be \(T or 1, B or 1, N or 1\)"):
        linear_scan(x, torch.ones(shape), torch.zeros(2, 4))
