"""The compiled kernels in bfloat16, and what other types change."""

import pytest
import torch

import torchmomentum.nn as tnn
from tests.ops.kernels import (
    MODES,
    SHAPES,
    arguments,
    compiled,
    defined,
    split_tensors,
)
from torchmomentum.ops import (
    scan_definition,
)
from torchmomentum.ops._problem import Layout
from torchmomentum.ops.cells import find
from torchmomentum.ops.cpu import operators
from torchmomentum.ops.cpu.library import available, product, timed

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (40, 601, 130), (9, 256, 65)])
@pytest.mark.parametrize("order", ["row", "column", "neither"])
def test_products_in_bfloat16(shape, order, threads):
    rows, depth, columns = shape
    a, b, start = torch.randn(rows, depth), torch.randn(depth, columns), torch.randn(columns)
    expected = start + a.bfloat16().double() @ b.bfloat16().double()
    given = {
        "row": (a, b),
        "column": (a.t().contiguous().t(), b.t().contiguous().t()),
        "neither": (torch.stack([a, a], -1)[..., 0], torch.stack([b, b], -1)[..., 0]),
    }[order]
    out = torch.full((rows, columns), float("nan"))
    product(out, *given, start, bfloat16=True)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("depth", [1, 7, 37, 257])
def test_products_in_bfloat16_of_odd_depth_read_nothing_beside(depth):
    """The last pair of an odd depth holds one number, and not what lies beside it in memory."""
    nan = float("nan")
    left, right = torch.full((5, depth + 3), nan), torch.full((depth + 3, 20), nan)
    a, b = left[:, :depth], right[:depth]
    a.normal_()
    b.normal_()
    expected = a.bfloat16().double() @ b.bfloat16().double()
    for first, second in ((a, b), (b.t(), a.t())):
        out = torch.zeros(len(first), second.shape[1])
        product(out, first, second, bfloat16=True)
        wanted = expected if first is a else expected.t()
        torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4, check_dtype=False)


def test_bfloat16_keeps_what_no_number_is():
    special = torch.tensor([float("inf"), -float("inf"), float("nan"), 3.3895e38, 0.0])
    out = torch.zeros(5, 1)
    product(out, special[:, None], torch.ones(1, 1), None, bfloat16=True)
    torch.testing.assert_close(
        out[:, 0], special.bfloat16().float(), equal_nan=True, rtol=0, atol=0
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_of_bfloat16_the_products_are_and_the_state_is_not(mode, shape, threads, poisoned):
    tensors = {
        name: x.detach().bfloat16() for name, x in arguments(mode, shape, bias=False).items()
    }
    hidden, seen = tensors["weight_hh"].shape[1], []
    key = Layout.of(find(mode))
    called = operators.OPERATORS[key]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(operators.OPERATORS, key, lambda *a: seen.append(called(*a)) or seen[0])
        out = compiled(mode, tensors, None)[0]
    assert out.dtype == torch.bfloat16
    wide, *_ = seen[0]
    torch.testing.assert_close(out, wide.bfloat16(), rtol=0, atol=0)
    # every step again from the state found, the definition reading it as the products do
    state, (weight_ih, weight_hh, *_, third) = split_tensors(
        {k: x.double() for k, x in tensors.items()}
    )
    recurrent = [weight_hh, None, *([third] if mode == "RNN_MODRELU" else [])]
    pre, past = tensors["x"].double() @ weight_ih.t(), state[0]
    for t, h in enumerate(wide.double()):
        if mode == "GRU":
            made = past.float().bfloat16().double() @ weight_hh.t()
            r, z = torch.sigmoid(pre[t] + made)[:, : 2 * hidden].chunk(2, -1)
            n = torch.tanh(pre[t, :, 2 * hidden :] + r * made[:, 2 * hidden :])
            expected = n + z * (past - n)
        else:
            state = (past.float().bfloat16().double(), *state[1:])
            expected, _, *cell = scan_definition(mode, pre[t : t + 1], state, recurrent)
            expected, state = expected[0], (h, *cell)
        torch.testing.assert_close(h, expected, rtol=1e-4, atol=2e-5)
        past = h


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("shape", ["odd", "rows for each thread", "units for each thread"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_bfloat16(mode, shape, moments, threads, poisoned):
    drawn = arguments(mode, SHAPES[shape], moments=moments, learned=moments)
    tensors = {name: x.detach().bfloat16().requires_grad_() for name, x in drawn.items()}
    exact = {name: x.detach().double().requires_grad_() for name, x in tensors.items()}
    grads = []
    for function, given in ((compiled, tensors), (defined, exact)):
        loss = function(mode, given, None)[0].double().square().sum()
        grads.append(torch.autograd.grad(loss, list(given.values())))
    for name, a, b in zip(tensors, *grads, strict=True):
        assert (a - b).norm() <= 2e-2 * b.norm() + 1e-6, name


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_the_default_type_changes_nothing(default, default_dtype):
    tensors = arguments("LSTM", (5, 2, 3, 4), moments=True)
    expected = torch.autograd.grad(compiled("LSTM", tensors, None)[0].sum(), tensors["h"])
    default_dtype(default)
    found = torch.autograd.grad(compiled("LSTM", tensors, None)[0].sum(), tensors["h"])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layer", [tnn.LookaheadSRLSTM, tnn.AdamLSTM, tnn.MomentumLSTM])
def test_every_rule_runs_on_the_kernels_in_every_precision(layer, dtype, fast):
    module = layer(20, 6).to(dtype)
    with timed() as called:
        out, _ = module(torch.randn(5, 8, 20, dtype=dtype))
    assert out.dtype == dtype
    whole = layer is tnn.MomentumLSTM and dtype != torch.bfloat16
    assert ("layer_forward" if whole else "lstm_forward") in called


def test_autocast_leaves_double_precision_alone():
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        for layer in (torch.nn.LSTM, tnn.LSTM, tnn.MomentumLSTM, tnn.AdamLSTM):
            out, _ = layer(5, 6).double()(x)
            assert out.dtype == torch.float64, layer
