"""Maps onto the orthogonal matrices, beside ``torch.linalg`` and in their derivatives."""

import pytest
import torch

from torchmomentum.ops.orthogonal import MAPS, cayley, moved, nearest_orthogonal, skew, skew_exp

maps = pytest.mark.parametrize("map", MAPS)


def _skew(size, norm, dtype=torch.float64, seed=0):
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    a = skew(drawn)
    return a * (norm / a.abs().sum(-1).amax())


def _orthogonal(size, dtype=torch.float64, seed=1):
    return torch.linalg.matrix_exp(_skew(size, 9.0, dtype, seed))


def _error(u):
    return (u.T @ u - torch.eye(len(u), dtype=u.dtype)).abs().max().item()


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 3e-6), (torch.float64, 2e-14)])
@pytest.mark.parametrize("norm", [1e-8, 0.4, 0.84, 0.86, 1.0, 1.63, 1.69, 30.0])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_the_exponential_is_torchs(size, norm, dtype, bound):
    a = torch.zeros(1, 1, dtype=torch.float64) if size == 1 else _skew(size, norm)
    expected = torch.linalg.matrix_exp(a)
    found = skew_exp(a.to(dtype))
    assert found.dtype == dtype
    assert (found - expected).abs().max() < bound * max(1.0, norm)
    assert _error(found) < bound * max(1.0, norm)


def test_cayleys_map_is_its_fraction():
    a = _skew(9, 3.0)
    eye = torch.eye(9, dtype=a.dtype)
    expected = (eye + a / 2) @ torch.linalg.inv(eye - a / 2)
    torch.testing.assert_close(cayley(a), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("norm", [0.3, 5.0])
def test_the_exponentials_gradient_is_torchs(norm):
    a, probe = _skew(12, norm).requires_grad_(), torch.randn(12, 12, dtype=torch.float64)
    (found,) = torch.autograd.grad((skew_exp(a) * probe).sum(), a)
    (expected,) = torch.autograd.grad((torch.linalg.matrix_exp(a) * probe).sum(), a)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@maps
@pytest.mark.parametrize("norm", [0.0, 0.7])
def test_a_moved_matrix_has_both_derivatives(map, norm):
    base, start = _orthogonal(4), _skew(4, 1.0).triu(1) * norm

    def at(above):
        return moved(base, skew(above), map)

    torch.testing.assert_close(at(start), base @ MAPS[map](skew(start)), rtol=0, atol=1e-14)
    # differences leave A = 0, derivatives are taken there
    torch.autograd.gradcheck(at, start.clone().requires_grad_())
    torch.autograd.gradgradcheck(at, start.clone().requires_grad_())


def test_the_nearest_is_that_of_the_polar_form():
    for noise in (1e-6, 1e-2, 1.0):  # the last is far from orthogonal
        a = _orthogonal(16) + noise * torch.randn(16, 16, dtype=torch.float64)
        u, _, v = torch.linalg.svd(a)
        found = nearest_orthogonal(a)
        torch.testing.assert_close(found, u @ v, rtol=0, atol=1e-12)
        assert _error(found) < 1e-13


@pytest.mark.parametrize("call", [skew_exp, cayley, nearest_orthogonal, lambda a: moved(a, a)])
def test_wrong_matrices(call):
    with pytest.raises(TypeError, match=r"must be float32 or float64, got torch\.float16"):
        call(torch.zeros(2, 2, dtype=torch.float16))
    for shape in ((2, 3), (2,), (1, 2, 2)):
        with pytest.raises(ValueError, match=r"must be a square matrix, got shape \("):
            call(torch.zeros(shape))


@pytest.mark.parametrize("call", [skew_exp, cayley, nearest_orthogonal])
def test_the_type_is_kept_whatever_the_default(call, default_dtype):
    a = _skew(3, 0.1, torch.float32)
    a = a + torch.eye(3) if call is nearest_orthogonal else a
    default_dtype(torch.float64)
    assert call(a).dtype == torch.float32


@maps
def test_a_matrix_that_does_not_move_costs_no_map(map, monkeypatch):
    base, zero = _orthogonal(5), torch.zeros(5, 5, dtype=torch.float64)

    def fail(a):
        raise AssertionError("the map was evaluated")

    monkeypatch.setitem(MAPS, map, fail)
    assert torch.equal(moved(base, zero, map), base)
    with pytest.raises(AssertionError, match="the map was evaluated"):
        moved(base, _skew(5, 1.0), map)


def test_what_is_nearly_orthogonal_needs_no_decomposition(monkeypatch):
    near = _orthogonal(16) + 1e-3 * torch.randn(16, 16, dtype=torch.float64)
    expected = nearest_orthogonal(near)

    def fail(*given, **options):
        raise AssertionError("a decomposition was computed")

    monkeypatch.setattr(torch.linalg, "svd", fail)
    assert torch.equal(nearest_orthogonal(near), expected)
    with pytest.raises(AssertionError, match="a decomposition was computed"):
        nearest_orthogonal(torch.randn(16, 16, dtype=torch.float64))


@pytest.mark.parametrize("call", [skew_exp, cayley, nearest_orthogonal])
def test_all_is_made_where_the_matrix_lies(call):
    a = _skew(4, 0.3)
    a = a + torch.eye(4, dtype=a.dtype) if call is nearest_orthogonal else a
    expected = call(a)
    with torch.device("meta"):
        assert torch.equal(call(a), expected)
