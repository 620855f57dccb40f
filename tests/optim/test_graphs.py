"""A step under torch.compile, and one with its counters on the device, beside the definition."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import Parameter

from torchmomentum.optim import NAG, SRSGD, RestartScheduler

POLICIES = [None, 1, 4, [(3, 2), (8, 5), (9, 1)]]


def _params():
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(s, generator=generator)) for s in [(3, 4), (5,), ()]]


def _train(optimizer, step=None, steps=14, skip=()):
    generator = torch.Generator().manual_seed(1)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for number in range(steps):
        for i, p in enumerate(params):
            grad = torch.randn(p.shape, generator=generator)
            p.grad = None if (number, i) in skip else grad
        (step or optimizer.step)()
    return [p.detach() for p in params]


@pytest.fixture(autouse=True)
def _anew():
    torch._dynamo.reset()


@pytest.mark.parametrize("restart", POLICIES, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"maximize": True, "fused": True}], ids=str
)
def test_a_compiled_step_equals_the_definition(restart, options):
    skip = {(2, 1), (6, 0), (7, 1)}
    expected = _train(NAG(_params(), 0.05, restart, foreach=False, **options | {"fused": None}))
    optimizer = NAG(_params(), 0.05, restart, **options)
    found = _train(optimizer, torch.compile(optimizer.step, backend="aot_eager"))
    torch.testing.assert_close(found, expected)
    apart = NAG(_params(), 0.05, restart, foreach=False, **options | {"fused": None})
    expected = _train(apart, skip=skip)
    optimizer = NAG(_params(), 0.05, restart, **options)
    step = torch.compile(optimizer.step, backend="aot_eager")
    torch.testing.assert_close(_train(optimizer, step, skip=skip), expected)
    assert optimizer.param_groups[0]["cycle_step"] == apart.param_groups[0]["cycle_step"]


def test_it_is_not_compiled_anew_as_its_numbers_change():
    """One graph for the first step, whose counters are numbers, and one for all others."""
    every = (None, 5, 3)
    groups = [{"params": [p], "restart": f} for p, f in zip(_params(), every, strict=True)]
    lr = torch.tensor(0.1)  # a number would be a graph's constant, of PyTorch's optimizers too
    optimizer, counter = NAG(groups, lr), CompileCounterWithBackend("aot_eager")
    step = torch.compile(optimizer.step, backend=counter)
    _train(optimizer, step)
    compiled = counter.frame_count
    for number in range(40):
        lr.fill_(0.1 / (number + 2))
        _train(optimizer, step, steps=1)
    assert counter.frame_count == compiled


def test_eager_and_compiled_steps_can_take_turns():
    expected = _train(NAG(_params(), 0.05, 4))
    optimizer = NAG(_params(), 0.05, 4, fused=True)  # whose buffers have a scale of their own
    compiled = torch.compile(optimizer.step, backend="aot_eager")
    turns = iter([optimizer.step, compiled] * 7)
    torch.testing.assert_close(_train(optimizer, lambda: next(turns)()), expected)


@pytest.mark.parametrize("adaptive", ["function", "gradient"])
def test_adaptive_policies_compile_too(adaptive):
    def steps(compiled):
        w = Parameter(torch.tensor([1.0, 2.0]))
        optimizer = NAG([w], 0.3, adaptive)
        step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
        for _ in range(25):
            w.grad = w.detach() * torch.tensor([1.0, 0.1])
            step((w * w.grad).sum().detach())
        return w.detach(), optimizer.param_groups[0]["cycle_step"]

    (found, cycle), (expected, other) = steps(True), steps(False)
    torch.testing.assert_close(found, expected)
    assert cycle == other < 25  # it restarted


@pytest.mark.parametrize("restart", POLICIES, ids=str)
def test_a_capturable_step_equals_the_definition(restart):
    skip, options = {(2, 1), (6, 1)}, {"weight_decay": 0.1}
    expected = _train(NAG(_params(), 0.05, restart, foreach=False, **options), skip=skip)
    optimizer = NAG(_params(), 0.05, restart, capturable=True, **options)
    _train(optimizer, steps=1)
    counters = [optimizer.param_groups[0][name] for name in ("cycle_step", "iterations")]
    optimizer = NAG(_params(), 0.05, restart, capturable=True, **options)
    torch.testing.assert_close(_train(optimizer, skip=skip), expected)
    assert all(isinstance(each, torch.Tensor) for each in counters)


def test_a_replayed_step_finds_the_counters_where_they_were():
    optimizer = SRSGD(_params(), 0.05, 4, capturable=True)
    scheduler = RestartScheduler(optimizer, [2], [4, 6], restart_at_milestones=True)
    _train(optimizer, steps=3)
    group = optimizer.param_groups[0]
    places = [group[name].data_ptr() for name in ("cycle_step", "iterations")]
    scheduler.step()
    scheduler.step()
    assert group["cycle_step"].item() == 0
    _train(optimizer, steps=3)
    assert [group[name].data_ptr() for name in ("cycle_step", "iterations")] == places
    assert group["cycle_step"].item() == 3


@pytest.mark.parametrize("capturable", [False, True])
def test_state_goes_over_to_the_other_kind(capturable):
    expected = NAG(_params(), 0.05, 5)
    _train(expected, steps=10)
    first = NAG(_params(), 0.05, 5, capturable=capturable)
    _train(first, steps=4)
    held = copy.deepcopy(first.state_dict())
    held["param_groups"][0]["capturable"] = not capturable
    second = NAG([p.detach().clone().requires_grad_() for p in first.param_groups[0]["params"]])
    second.load_state_dict(held)
    assert second.param_groups[0]["cycle_step"] == 4
    _train(second, steps=4)
    straight = NAG(_params(), 0.05, 5)
    _train(straight, steps=4)
    _train(straight, steps=4)
    torch.testing.assert_close(second.param_groups[0]["params"], straight.param_groups[0]["params"])


def test_what_cannot_be_captured():
    with pytest.raises(RuntimeError, match="`capturable` does not support `differentiable`"):
        NAG(_params(), 0.1, capturable=True, differentiable=True)
    embedding = torch.nn.Embedding(3, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="do not support sparse gradients"):
        NAG(embedding.parameters(), 0.1, capturable=True).step()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_replays_the_steps():
    expected = _train(NAG([Parameter(p.detach().cuda()) for p in _params()], 0.05, 4), steps=8)
    params = [Parameter(p.detach().cuda()) for p in _params()]
    optimizer, graph = NAG(params, 0.05, 4, capturable=True), torch.cuda.CUDAGraph()
    held = [torch.zeros_like(p) for p in params]
    stream = torch.cuda.Stream()
    generator = torch.Generator().manual_seed(1)
    for number in range(8):
        for p, grad in zip(params, held, strict=True):
            grad.copy_(torch.randn(p.shape, generator=generator))
            p.grad = grad
        if number == 0:
            with torch.cuda.stream(stream):
                optimizer.step()
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                optimizer.step()
        else:
            graph.replay()
    torch.testing.assert_close([p.detach() for p in params], expected)
