import pytest
import torch

from torchmomentum.ops import adam_scan, adam_scan_definition


def _tensors(masked):
    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    mu = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    gain = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rms = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    mask = (torch.arange(5)[:, None] < torch.tensor([5, 2])).unsqueeze(-1) if masked else None
    return (draw(5, 2, 3), draw(2, 3), rms, mu, gain), mask


@pytest.mark.parametrize("masked", [False, True])
def test_equals_its_definition_with_both_orders_of_gradients(masked):
    tensors, mask = _tensors(masked)

    def run(x, v, r, mu, gain):
        return adam_scan(x, v, r, mu=mu, gain=gain, beta=0.7, eps=1e-3, mask=mask)

    for a, b in zip(run(*tensors), adam_scan_definition(*tensors, mask, 0.7, 1e-3), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def test_a_number_and_a_tensor_agree():
    (x, v, r, mu, gain), _ = _tensors(False)
    numbers = adam_scan(x, v, r, mu=0.6, gain=0.7, beta=0.5, eps=1e-8)
    tensors = adam_scan(x, v, r, mu=mu, gain=gain, beta=0.5, eps=1e-8)
    for a, b in zip(numbers, tensors, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)
    first = torch.autograd.grad(numbers[0].sum(), [x, v, r])
    second = torch.autograd.grad(tensors[0].sum(), [x, v, r])
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_the_squares_of_the_paper():
    x = torch.randn(20, 2, 3, dtype=torch.float64)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    y, v, r = adam_scan(x, zero, zero, mu=0.6, gain=0.9, beta=0.8, eps=1e-8)
    velocity, square = zero, zero
    for t in range(20):
        velocity = 0.6 * velocity + 0.9 * x[t]
        square = 0.8 * square + 0.2 * x[t] ** 2
        torch.testing.assert_close(y[t], velocity / (square.sqrt() + 1e-8), rtol=1e-12, atol=0)
    torch.testing.assert_close(v, velocity)
    torch.testing.assert_close(r**2, square)
