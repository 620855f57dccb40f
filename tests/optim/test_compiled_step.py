"""The compiled step beside the definition, tensor by tensor."""

import contextlib
import copy
import pickle

import pytest
import torch
from torch.nn import Parameter

from torchmomentum.ops.cpu import library as _kernels
from torchmomentum.ops.cpu.library import available
from torchmomentum.optim import NAG, _compiled
from torchmomentum.optim._compiled import CompiledStep

pytestmark = pytest.mark.skipif(not available(), reason="no C++ compiler here")
SHAPES = [(), (1,), (15,), (16,), (17,), (0,), (40, 33), (300, 301)]


@pytest.fixture
def calls(monkeypatch):
    """Which kernels are called."""
    found, call = [], _kernels.call
    monkeypatch.setattr(_kernels, "call", lambda name, *a: (found.append(name), call(name, *a))[1])
    return found


def _draw(shapes=SHAPES, **options):
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(s, generator=generator).to(**options)) for s in shapes]


def _train(params, steps=9, skip=(), layout=lambda g: g, **options):
    optimizer = NAG(params, 0.05, **{"restart": 4, **options})
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for number, p in enumerate(params):
            grad = layout(torch.randn(p.shape, generator=generator))
            p.grad = None if (step, number) in skip else grad.to(p.dtype)
        optimizer.step()
    return [p.detach() for p in params], optimizer


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"maximize": True}, {"restart": 1}, {"restart": None}],
    ids=str,
)
def test_equals_the_definition(options, threads, calls):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    skip = {(2, 6), (3, 6), (5, 1), (7, 7)}
    try:
        found, _ = _train(_draw(), fused=True, skip=skip, **options)
    finally:
        torch.set_num_threads(before)
    assert calls == ["optimizer_step"] * 9  # one for all tensors
    expected, _ = _train(_draw(), foreach=False, skip=skip, **options)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_channels_last(calls):
    shapes = [(4, 3, 5, 5), (2, 6, 3, 3)]

    def last(x):
        return x.to(memory_format=torch.channels_last)

    found, optimizer = _train(
        [Parameter(last(p.detach())) for p in _draw(shapes)], layout=last, fused=True
    )
    assert len(calls) == 9
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in found)
    expected, _ = _train(_draw(shapes), foreach=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    del optimizer


@pytest.mark.parametrize(
    "params",
    [
        lambda: _draw(dtype=torch.float64),
        lambda: [Parameter(torch.randn(6, 4)[:, ::2])],
        lambda: [Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))],
    ],
    ids=["float64", "strided", "gradients of another layout"],
)
def test_what_it_leaves_to_others(params, calls):
    torch.manual_seed(0)
    found, _ = _train(params(), fused=True)
    assert not calls
    torch.manual_seed(0)
    expected, _ = _train(params(), foreach=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_goes_on_with_states_of_the_other_kernel(monkeypatch):
    """A run that began without a compiler, and the other way around."""
    whole, _ = _train(_draw(), steps=7, fused=True)
    for first in (True, False):
        params = _draw()
        with monkeypatch.context() as patch:
            if first:
                patch.setattr(CompiledStep, "__call__", lambda *a: False)
            _, optimizer = _train(params, steps=3, fused=True)
        generator = torch.Generator().manual_seed(1)
        with monkeypatch.context() as patch:
            if not first:
                patch.setattr(CompiledStep, "__call__", lambda *a: False)
            for step in range(7):
                for p in params:
                    p.grad = torch.randn(p.shape, generator=generator)
                if step >= 3:
                    optimizer.step()
        torch.testing.assert_close([p.detach() for p in params], whole, rtol=1e-4, atol=1e-5)


def test_autograd_sees_that_parameters_changed():
    (p,) = _draw([(3,)])
    loss = (p * p).sum()
    p.grad = torch.ones(3)
    NAG([p], 0.1, fused=True).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_whole_number_as_learning_rate(calls):
    for lr in (1, 0.1, 1):  # the first call of a process decides how numbers are passed
        (p,) = _draw([(3,)])
        before = p.detach().clone()
        p.grad = torch.full((3,), 0.5)
        NAG([p], lr, fused=True).step()
        torch.testing.assert_close(p.detach(), before - lr * 0.5)
    assert len(calls) == 3


def _stepped(change, steps=3):
    """Some steps, then one after something has changed beneath the optimizer."""
    (p,) = _draw([(4,)])
    optimizer = NAG([p], 0.1, fused=True)
    for _ in range(steps):
        p.grad = torch.ones(4)
        optimizer.step()
    change(p, optimizer.state[p])
    optimizer.step()
    return p


def test_buffers_of_another_size_are_not_written_beyond():
    def grow(p, state):
        p.data, p.grad = torch.ones(50), torch.ones(50)

    with pytest.raises(RuntimeError, match="size"):
        _stepped(grow)


def _turn(tensor):
    tensor.data = tensor.data.t()


def _move(tensor):
    tensor.data = 2 * tensor.data


def _replace(p, state):
    state["momentum_buffer"] = torch.full((3, 3), 0.5)


BENEATH = {
    "parameter turned": lambda p, state: _turn(p),
    "parameter moved": lambda p, state: _move(p),
    "gradient turned": lambda p, state: _turn(p.grad),
    "buffer turned": lambda p, state: _turn(state["momentum_buffer"]),
    "buffer moved": lambda p, state: _move(state["momentum_buffer"]),
    "buffer replaced": _replace,
    "state forgotten": lambda p, state: state.clear(),
    "of another type": lambda p, state: (
        setattr(p, "grad", None),
        *(setattr(t, "data", t.data.double()) for t in (p, state["momentum_buffer"])),
        setattr(p, "grad", torch.ones(3, 3, dtype=torch.float64)),
    ),
}


@pytest.mark.parametrize("change", BENEATH.values(), ids=BENEATH)
def test_what_was_known_of_a_tensor_holds_no_longer(change):
    def train(**options):
        torch.manual_seed(0)
        p = Parameter(torch.randn(3, 3))
        optimizer = NAG([p], 0.1, **options)
        for step in range(7):
            p.grad = torch.randn(3, 3, dtype=p.dtype)
            if step == 4:
                change(p, optimizer.state[p])
            optimizer.step()
        return p.detach()

    torch.testing.assert_close(train(fused=True), train(foreach=False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", ["parameter turned", "buffer turned", "buffer replaced"])
@pytest.mark.parametrize("which", [0, 1])
def test_one_of_several_tensors_is_another(change, which):
    def train(**options):
        torch.manual_seed(0)
        params = [Parameter(torch.randn(3, 3)) for _ in range(2)]
        optimizer = NAG(params, 0.1, **options)
        for step in range(7):
            for p in params:
                p.grad = torch.randn(3, 3)
            if step == 4:
                BENEATH[change](params[which], optimizer.state[params[which]])
            optimizer.step()
        return [p.detach() for p in params]

    torch.testing.assert_close(train(fused=True), train(foreach=False), rtol=1e-5, atol=1e-5)


def _half_in_place(tensor):
    """Another type at the same address, as an allocator may hand it out again."""
    tensor.data = tensor.data.view(torch.float16)[: tensor.numel()]


@pytest.mark.parametrize(
    "change",
    [
        lambda p, state: setattr(state["momentum_buffer"], "data", torch.ones(2)),
        lambda p, state: state["momentum_buffer"].resize_(2),
        lambda p, state: _half_in_place(state["momentum_buffer"]),
        lambda p, state: _half_in_place(p),
    ],
    ids=["smaller elsewhere", "smaller", "half a buffer", "half a parameter"],
)
def test_tensors_that_no_longer_fit_are_not_written(change, calls):
    with contextlib.suppress(RuntimeError):  # as the definition raises of all but the last
        _stepped(change)
    assert len(calls) == 3


def test_one_of_several_buffers_of_another_type_in_the_same_place(calls):
    params = _draw([(4,), (3,)])
    optimizer = NAG(params, 0.1, fused=True)
    for step in range(4):
        for p in params:
            p.grad = torch.ones(p.shape)
        if step == 3:
            state = optimizer.state[params[1]]
            state["momentum_buffer"] = state["momentum_buffer"].view(torch.int32)
        with contextlib.suppress(RuntimeError):
            optimizer.step()
    assert len(calls) == 3


def test_what_stays_is_not_checked_again(monkeypatch):
    checked, check = [], _compiled._float32
    monkeypatch.setattr(_compiled, "_float32", lambda t: (checked.append(len(t)), check(t))[1])
    _train(_draw([(4,), (3,)]), steps=4, fused=True, restart=None)
    # parameters and gradients; then new buffers too; then gradients alone
    assert checked == [4, 6, 2, 2]


def test_while_a_graph_is_captured_it_does_nothing(calls, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found, _ = _train(_draw(), fused=True)
    expected, _ = _train(_draw(), foreach=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not calls


def test_other_types_ask_for_no_compiler(monkeypatch):
    monkeypatch.setattr(_kernels, "available", lambda: pytest.fail("asked"))
    _train(_draw([(3,)], dtype=torch.float64), fused=True)


def test_what_a_step_knows_is_its_own(calls):
    """Copies, saved states and groups that have gone do not share it."""
    (p,) = _draw([(4,)])
    optimizer = NAG([p], 0.1, fused=True)
    for _ in range(3):
        p.grad = torch.ones(4)
        optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (q,) = other.param_groups[0]["params"]
        q.grad = torch.ones(4)
        other.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    torch.testing.assert_close(q.detach(), p.detach())
    assert len(calls) == 6


def test_buffers_of_elsewhere_are_not_read(calls):
    def move(p, state):
        state["momentum_buffer"] = state["momentum_buffer"].to("meta")

    with pytest.raises((RuntimeError, NotImplementedError)):
        _stepped(move)
    assert len(calls) == 3


def test_gradients_whose_sign_is_a_bit(calls):
    def negate(p, state):
        p.grad = torch._neg_view(torch.ones(4))

    def plainly(p, state):
        p.grad = -torch.ones(4)

    assert _stepped(negate).grad.is_neg()
    torch.testing.assert_close(_stepped(negate).detach(), _stepped(plainly).detach())
