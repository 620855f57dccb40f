import pytest
import torch

from torchmomentum.ops import GATES, STEPS, native, native_packed, scan, scan_definition

T, B, H = 4, 3, 2


def _draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("mode", "bias", "projected"),
    [
        (m, b, p)
        for m in STEPS
        for b in (True, False)
        for p in (False, True)
        if m == "LSTM" or not p
    ],
)
def test_equals_its_definition_with_both_orders_of_gradients(mode, bias, projected, masked):
    width = 1 if projected else H
    rows = GATES[mode] * H
    state = (_draw(B, width), _draw(B, H)) if mode == "LSTM" else (_draw(B, H),)
    weights = [_draw(rows, width), _draw(rows) if bias else None]
    if mode == "LSTM":
        weights.append(_draw(1, H) if projected else None)
    everything = [_draw(T, B, rows), *state, *weights]
    mask = (torch.arange(T)[:, None] < torch.tensor([4, 2, 1])).unsqueeze(-1) if masked else None

    def run(function):
        def call(*tensors):
            given = iter(tensors)
            pre, *rest = (None if x is None else next(given) for x in everything)
            count = len(state)
            return function(mode, pre, tuple(rest[:count]), rest[count:], mask)

        return call

    tensors = [x for x in everything if x is not None]
    for a, b in zip(run(scan)(*tensors), run(scan_definition)(*tensors), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(run(scan), tensors)
    assert torch.autograd.gradgradcheck(run(scan), tensors, fast_mode=True)


@pytest.mark.parametrize("mode", list(STEPS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_equals_the_definition(mode, dtype):
    rows = GATES[mode] * H
    x = torch.randn(T, B, 5, dtype=dtype, requires_grad=True)
    count = 2 if mode == "LSTM" else 1
    state = tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in range(count))
    shapes = [(rows, 5), (rows, H), (rows,), (rows,)]
    weights = [torch.randn(*s, dtype=dtype, requires_grad=True) for s in shapes]
    found = native(mode, x, state, [*weights, None])
    recurrent = [weights[1], weights[3]] + ([None] if mode == "LSTM" else [])
    pre = torch.nn.functional.linear(x, weights[0], weights[2])
    expected = scan_definition(mode, pre, state, recurrent)
    inputs = [x, *state, *weights]
    tolerance = {"rtol": 0, "atol": 2e-5 if dtype == torch.float32 else 1e-12}
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    for a, b in zip(
        torch.autograd.grad(sum((y * y.sin()).sum() for y in found), inputs, create_graph=True),
        torch.autograd.grad(sum((y * y.sin()).sum() for y in expected), inputs, create_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **tolerance)
        first = torch.autograd.grad(a.square().sum(), inputs, retain_graph=True, allow_unused=True)
        second = torch.autograd.grad(b.square().sum(), inputs, retain_graph=True, allow_unused=True)
        for p, q in zip(first, second, strict=True):
            if q is not None:
                torch.testing.assert_close(
                    p, q, rtol=1e-3, atol=1e-4 if p.dtype != torch.float64 else 1e-10
                )


def test_native_packed_equals_padded():
    x = torch.randn(T, B, 5)
    weights = [torch.randn(s) for s in [(4 * H, 5), (4 * H, H), (4 * H,), (4 * H,)]]
    state = (torch.zeros(B, H), torch.zeros(B, H))
    sizes = torch.full((T,), B)
    found = native_packed("LSTM", x.flatten(0, 1), sizes, state, [*weights, None])
    expected = native("LSTM", x, state, [*weights, None])
    torch.testing.assert_close(found[0].view(T, B, H), expected[0])


def test_outputs_share_no_memory():
    x, state = torch.randn(T, B, 5), (torch.zeros(B, H), torch.zeros(B, H))
    weights = [torch.randn(s) for s in [(4 * H, 5), (4 * H, H), (4 * H,), (4 * H,)]]
    out, h, _ = native("LSTM", x, state, [*weights, None])
    h.fill_(7.0)
    assert not (out[-1] == 7.0).any()


def test_wrong_calls_are_refused():
    pre, state = torch.zeros(T, B, 4 * H), (torch.zeros(B, H), torch.zeros(B, H))
    with pytest.raises(ValueError, match="mode must be one of"):
        scan("LTSM", pre, state, [torch.zeros(4 * H, H), None, None])
    with pytest.raises(ValueError, match="needs a weight_hh of 8 rows"):
        scan("LSTM", pre, state, [torch.zeros(4, H), None, None])
