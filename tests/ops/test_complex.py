"""The complex filter against complex numbers, kernel and definition."""

import pytest
import torch

from torchmomentum.ops.cpu.library import available
from torchmomentum.ops.filters import complex_scan, complex_scan_definition

SIZES = [(1, 1, 1), (6, 2, 3), (5, 3, 16), (7, 1, 37), (130, 4, 20), (4, 33, 100)]
NAMES = ("x", "decay", "gain", "initial")


def _tensors(time, batch, size, dtype=torch.float64):
    torch.manual_seed(0)
    modulus, angle = torch.rand(size) * 0.3 + 0.7, torch.rand(size) * 6
    decay = torch.stack([modulus * angle.cos(), modulus * angle.sin()])
    found = (
        torch.randn(time, batch, 2 * size),
        decay,
        torch.rand(size) + 0.5,
        torch.randn(batch, 2 * size),
    )
    return [t.to(dtype).requires_grad_() for t in found]


def _as_complex(x):
    return torch.complex(*x.chunk(2, -1))


def _by_complex_numbers(x, decay, gain, initial, reverse):
    factor, v = torch.complex(*decay), _as_complex(initial)
    outputs = [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        v = factor * v + gain * _as_complex(x[t])
        outputs[t] = torch.cat([v.real, v.imag], -1)
    return torch.stack(outputs), torch.cat([v.real, v.imag], -1)


def _gradients(function, tensors, probe):
    out, last = function(*tensors)
    loss = (out * probe).sum() + (last * probe[0].cos()).sum()
    return [out, last, *torch.autograd.grad(loss, tensors)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_kernel_computes_complex_numbers(sizes, reverse, threads):
    if not available():
        pytest.skip("there is no kernel")
    exact = _tensors(*sizes)
    probe = torch.randn(*sizes[:2], 2 * sizes[2], dtype=torch.float64)
    expected = _gradients(lambda *t: _by_complex_numbers(*t, reverse), exact, probe)
    single = [t.detach().float().requires_grad_() for t in exact]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = _gradients(lambda *t: complex_scan(*t, reverse=reverse), single, probe.float())
    finally:
        torch.set_num_threads(before)
    for name, value, want in zip(("out", "last", *NAMES), found, expected, strict=True):
        assert value.dtype == torch.float32
        scale = want.abs().max().item()
        torch.testing.assert_close(
            value.double(), want, rtol=1e-4, atol=2e-6 * max(scale, 1.0), msg=name
        )


@pytest.mark.parametrize("reverse", [False, True])
def test_the_definition_computes_complex_numbers(reverse):
    tensors = _tensors(6, 2, 3)
    probe = torch.randn(6, 2, 6, dtype=torch.float64)
    expected = _gradients(lambda *t: _by_complex_numbers(*t, reverse), tensors, probe)
    for run in (
        lambda *t: complex_scan(*t, reverse=reverse),  # float64 has no kernel
        lambda *t: complex_scan_definition(*t, reverse),
    ):
        for value, want in zip(_gradients(run, tensors, probe), expected, strict=True):
            torch.testing.assert_close(value, want)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # PyTorch's own import
def test_two_orders_of_gradients_and_transforms():
    tensors = _tensors(4, 2, 3)
    assert torch.autograd.gradcheck(complex_scan, tensors)
    assert torch.autograd.gradgradcheck(complex_scan, tensors)
    x, *rest = [t.detach() for t in tensors]
    many = torch.stack([x, 2 * x])
    found = torch.func.vmap(lambda x: complex_scan(x, *rest)[0])(many)
    torch.testing.assert_close(found[1], complex_scan(2 * x, *rest)[0])
    _, tangent = torch.func.jvp(lambda x: complex_scan(x, *rest), (x,), (x,))
    decay, gain, initial = rest  # linear in the drives
    torch.testing.assert_close(tangent, complex_scan(x, decay, gain, 0 * initial))


def test_drives_may_be_a_part_of_wider_rows():
    """As the linear recurrent unit has them; other layouts are copied."""
    x, *rest = [t.detach().float() for t in _tensors(6, 3, 5)]
    wide = torch.full((6, 3, 17), torch.nan)
    wide[..., :10] = x
    expected, _ = complex_scan(x, *rest)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    for given in (wide[..., :10], turned, x.expand(6, 3, 10)):
        given = given.detach().requires_grad_()
        found, _ = complex_scan(given, *rest)
        assert torch.equal(found, expected)
        (grad,) = torch.autograd.grad(found.square().sum(), given)
        assert grad.isfinite().all()


def test_nothing_to_filter():
    x, *rest = [t.detach().float() for t in _tensors(3, 2, 4)]
    empty = x[:, :0].requires_grad_()
    out, _ = complex_scan(empty, rest[0], rest[1], rest[2][:0])
    assert out.shape == (3, 0, 8)
    (grad,) = torch.autograd.grad(out.sum(), empty)
    assert grad.shape == empty.shape


def test_one_operator_in_a_graph():
    x, *rest = [t.detach().float() for t in _tensors(6, 2, 3)]
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module.forward

    compiled = torch.compile(complex_scan, backend=backend, fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(x, *rest), complex_scan(x, *rest))
    torch.library.opcheck(
        torch.ops.torchmomentum.complex_scan.default,
        (x.requires_grad_(), *rest, False, True),
    )
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"x": torch.zeros(3, 2, 5)},
            ValueError,
            r"x must have shape \(3, 2, 4\), got \(3, 2, 5\)",
        ),
        ({"x": torch.zeros(3, 6)}, ValueError, r"x must be \(T, B, 2 N\), got shape \(3, 6\)"),
        ({"x": torch.zeros(0, 2, 6)}, ValueError, "x must have at least one step, got 0"),
        ({"decay": torch.zeros(2, 4)}, ValueError, r"decay must have shape \(2, 3\), got \(2, 4\)"),
        ({"gain": torch.zeros(1)}, ValueError, r"gain must have shape \(3,\), got \(1,\)"),
        ({"initial": torch.zeros(1, 6)}, ValueError, r"initial must have shape \(2, 6\), got"),
        (
            {"gain": torch.zeros(3, dtype=torch.float64)},
            TypeError,
            "gain must be torch.float32, got",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, error, message):
    """Before a kernel could read beyond it."""
    given = {
        "x": torch.zeros(3, 2, 6),
        "decay": torch.zeros(2, 3),
        "gain": torch.zeros(3),
        "initial": torch.zeros(2, 6),
    }
    with pytest.raises(error, match=message):
        complex_scan(**{**given, **change})
