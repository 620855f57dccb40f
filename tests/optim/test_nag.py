import copy
import sys
from functools import partial

import pytest
import torch

from tests.optim.problem import WAYS, problem
from tests.reference.optimizers import srsgd
from torchmomentum.optim import NAG, SRSGD, _update
from torchmomentum.optim._compiled import CompiledStep
from torchmomentum.testing import check_optimizer


@pytest.mark.parametrize(
    "make", [SRSGD, NAG, partial(SRSGD, restart_every=3), partial(NAG, restart=1)]
)
def test_keeps_the_contract(make):
    check_optimizer(make)


def test_sgd_keeps_the_contract():
    check_optimizer(torch.optim.SGD, skip=["not_finite"])
    nesterov = partial(torch.optim.SGD, momentum=0.9, nesterov=True)
    check_optimizer(nesterov, skip=["not_finite", "differentiable"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("restart", [None, 1, 2, 7])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_equals_the_slides(way, restart, weight_decay):
    """A falling, a vanishing and a returning learning rate, over several restarts."""
    lrs = [0.1] * 9 + [0.03] * 9 + [0.0] * 2 + [0.2] * 9 + [1e-9] * 2 + [0.1] * 9
    start, gradient = problem()
    expected = srsgd(start, gradient, lrs, restart, weight_decay)
    w = torch.nn.Parameter(start.clone())
    optimizer = NAG([w], lr=0.1, restart=restart, weight_decay=weight_decay, **WAYS[way])
    for lr, target in zip(lrs, expected, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        w.grad = gradient(w.detach())
        optimizer.step()
        torch.testing.assert_close(w.detach(), target, rtol=0, atol=1e-10)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_stay_as_they_are(way, dtype):
    """In lists too, where SGD with Nesterov's momentum changes them."""
    w = torch.nn.Parameter(torch.ones(5, dtype=dtype))
    options = {"weight_decay": 0.3, "maximize": True}
    optimizer = NAG([w], lr=0.1, **options, **WAYS[way])
    for step in range(4):
        w.grad = torch.full_like(w, 0.5 + step)
        optimizer.step()
        assert torch.equal(w.grad, torch.full_like(w, 0.5 + step))


@pytest.mark.parametrize("way", WAYS)
def test_a_learning_rate_of_zero_where_the_momentum_begins(way):
    lrs = [0.1, 0.0, 0.1, 0.1]
    start, gradient = problem()
    w = torch.nn.Parameter(start.clone())
    optimizer = NAG([w], lr=0.1, **WAYS[way])
    for lr, target in zip(lrs, srsgd(start, gradient, lrs, None), strict=True):
        optimizer.param_groups[0]["lr"] = lr
        w.grad = gradient(w.detach())
        optimizer.step()
        torch.testing.assert_close(w.detach(), target, rtol=0, atol=1e-12)


def test_a_buffer_has_its_parameters_layout():
    w = torch.nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last))
    optimizer = NAG([w], lr=0.1)
    for _ in range(2):
        w.grad = torch.ones(2, 3, 4, 4)
        optimizer.step()
    assert optimizer.state[w]["momentum_buffer"].stride() == w.stride()


def test_restarting_every_step_is_sgd():
    start, gradient = problem()
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [SRSGD([ours], lr=0.1, restart_every=1), torch.optim.SGD([theirs], lr=0.1)]
    for _ in range(10):
        for p, optimizer in zip((ours, theirs), optimizers, strict=True):
            p.grad = gradient(p.detach())
            optimizer.step()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("way", WAYS)
def test_goes_on_from_a_state_written_by_hand(way):
    """A buffer without a scale is -d, the difference of the last step."""
    start, gradient = problem()
    w = torch.nn.Parameter(start.clone())
    optimizer = NAG([w], lr=0.1, **WAYS[way])
    optimizer.param_groups[0]["cycle_step"] = 3
    before = torch.linspace(1, 2, 6, dtype=torch.float64)
    optimizer.state[w]["momentum_buffer"] = -before.clone()
    w.grad = gradient(start)
    optimizer.step()
    d = 2 / 5 * before - 0.1 * gradient(start)
    torch.testing.assert_close(w.detach(), start - 0.1 * gradient(start) + 3 / 6 * d)


def test_srsgd_is_nag_with_a_restart():
    start, gradient = problem()
    first, second = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [SRSGD([first], lr=0.1, restart_every=4), NAG([second], lr=0.1, restart=4)]
    for _ in range(10):
        for p, optimizer in zip((first, second), optimizers, strict=True):
            p.grad = gradient(p.detach())
            optimizer.step()
    assert torch.equal(first, second)


def test_groups_count_for_themselves():
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = SRSGD(
        [{"params": [a], "restart_every": 2}, {"params": [b]}], lr=0.1, restart_every=5
    )
    a.grad = torch.ones(2)
    for step in range(3):
        if step == 2:
            b.grad = torch.ones(2)
        optimizer.step()
    assert [group["cycle_step"] for group in optimizer.param_groups] == [1, 1]


@pytest.mark.parametrize("way", WAYS)
def test_a_state_dict_from_the_middle_of_a_cycle_goes_on_any_other_way(way):
    start, gradient = problem()
    reference = torch.nn.Parameter(start.clone())
    optimizer = SRSGD([reference], lr=0.1, restart_every=6, **WAYS[way])
    for step in range(20):
        reference.grad = gradient(reference.detach())
        optimizer.step()
        if step == 9:
            saved = copy.deepcopy(optimizer.state_dict())
            at = reference.detach().clone()
    for other in WAYS:
        w = torch.nn.Parameter(at.clone())
        resumed = SRSGD([w], lr=0.7)
        resumed.load_state_dict(copy.deepcopy(saved))
        resumed.param_groups[0].update({"foreach": None, "fused": None} | WAYS[other])
        for _ in range(10):
            w.grad = gradient(w.detach())
            resumed.step()
        torch.testing.assert_close(w, reference, rtol=0, atol=0 if other == way else 1e-12)


def test_fused_falls_back_where_the_private_kernel_is_gone(monkeypatch):
    monkeypatch.setattr(_update, "fused_sgd", None)
    test_equals_the_slides("fused", 7, 0.05)


def test_a_gradient_that_comes_late_joins_the_cycle():
    start, gradient = problem()
    early, late = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer = SRSGD([early, late], lr=0.1, restart_every=10)
    for step in range(6):
        early.grad = gradient(early.detach())
        if step >= 3:
            late.grad = gradient(late.detach())
        optimizer.step()
    assert (late != torch.nn.Parameter(start)).all()
    assert optimizer.state[late]["momentum_buffer"].shape == late.shape


def test_a_state_belongs_to_its_parameter():
    """As many states as a group has parameters, one of them of another group."""
    found = []
    for together in (True, False):
        a, b, c = (torch.nn.Parameter(torch.full((2,), float(i))) for i in range(3))
        groups = [[a, c], [b]] if together else [[a], [c], [b]]
        optimizer = NAG([{"params": group} for group in groups], lr=0.1)
        for step in range(5):
            a.grad = torch.ones(2)
            b.grad = torch.ones(2) if step < 3 else None
            c.grad = torch.ones(2) if step >= 3 else None
            for group in optimizer.param_groups[1:] if not together else ():
                if group["params"][0] is c and step == 3:  # as far as its companion
                    group["cycle_step"] = 3
            optimizer.step()
        found.append([p.detach() for p in (a, b, c)])
    torch.testing.assert_close(*found)


def test_one_gradient_whose_sign_is_a_bit():
    found = []
    for way in WAYS.values():
        params = [torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2)]
        optimizer = NAG(params, lr=0.1, **way)
        for _ in range(3):
            params[0].grad = torch._neg_view(torch.ones(3, dtype=torch.float64))
            params[1].grad = torch.ones(3, dtype=torch.float64)
            optimizer.step()
        found.append([p.detach() for p in params])
    torch.testing.assert_close(found[1:], found[:1] * 2)
    assert (found[0][0] > 1).all()


def test_a_skipped_step_does_not_count():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = SRSGD([w], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for bad in (False, True, False):
        optimizer.zero_grad()
        scaler.scale((w * (float("inf") if bad else 1.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert optimizer.param_groups[0]["cycle_step"] == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_gradient_that_comes_and_goes(way):
    """A buffer that a step passed over is at its own scale: a fused step must know."""

    def train(options):
        start, gradient = problem()
        always, sometimes = (torch.nn.Parameter(start.clone()) for _ in range(2))
        optimizer = SRSGD([always, sometimes], lr=0.1, **options)
        for step in range(14):
            optimizer.param_groups[0]["lr"] = 0.1 if step < 5 else 0.03
            always.grad = gradient(always.detach())
            sometimes.grad = None if step in (4, 7, 8) else gradient(sometimes.detach())
            optimizer.step()
        return sometimes.detach()

    torch.testing.assert_close(train(WAYS[way]), train({"foreach": False}), rtol=0, atol=1e-12)


def test_an_optimizer_of_an_older_version_loads():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = SRSGD([w], lr=0.1)
    state = optimizer.state_dict()
    del state["param_groups"][0]["cycle_step"]
    optimizer.load_state_dict(state)
    w.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.param_groups[0]["cycle_step"] == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: SRSGD(p, lr=float("nan")), ValueError, "Invalid learning rate: nan, must be"),
        (lambda p: SRSGD(p, lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: SRSGD(p, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
        (lambda p: SRSGD(p, restart_every=0), ValueError, "at least 1 iteration, got 0"),
        (lambda p: SRSGD(p, restart_every=None), TypeError, "must be an int, got None"),
        (lambda p: SRSGD(p, restart_every="gradient"), TypeError, "must be an int, got str"),
        (lambda p: SRSGD(p, lr=float("inf")), ValueError, "Invalid learning rate: inf"),
        (lambda p: NAG(p, fused=True, differentiable=True), RuntimeError, "not support `diff"),
        (
            lambda p: NAG(p, torch.tensor(0.1, requires_grad=True), foreach=True),
            ValueError,
            "needs `foreach=False`",
        ),
        (lambda p: NAG(p, restart=2.0), TypeError, "restart must be an int or None, got float"),
        (lambda p: NAG(p, restart=True), TypeError, "restart must be an int or None, got bool"),
        (lambda p: NAG([{"params": p, "restart_every": -3}]), ValueError, "at least 1 iteration"),
        (lambda p: NAG(p, fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
    ],
)
def test_wrong_values_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make([torch.nn.Parameter(torch.ones(2))])


def test_a_rejected_group_is_not_added():
    optimizer = SRSGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ValueError, match="learning rate"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": -1.0})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("way", WAYS)
def test_one_call_for_a_list_of_tensors(way, monkeypatch):
    """A count, not a time: how many kernels 20 tensors take."""
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(20)]
    for p in params:
        p.grad = torch.ones(3)
    optimizer = SRSGD(params, lr=0.1, **WAYS[way])
    if way == "fused":  # torch's kernel, as on a machine without a compiler
        monkeypatch.setattr(CompiledStep, "__call__", lambda *a: False)
    for step in range(4):
        with torch.profiler.profile() as profile:
            optimizer.step()
        names = [e.key for e in profile.key_averages() if e.key.startswith("aten::_f")]
        assert (
            set(names)
            == {
                "each": set(),
                "foreach": {"aten::_foreach_add_"} | ({"aten::_foreach_mul_"} if step else set()),
                "fused": {"aten::_fused_sgd_"},
            }[way]
        )


def test_defaults():
    p = torch.nn.Parameter(torch.ones(2))
    shared = {"lr": 1e-3, "weight_decay": 0.0, "maximize": False, "foreach": None}
    shared |= {"differentiable": False, "fused": None, "cycle_step": 0, "iterations": 0}
    shared |= {"last_momentum": 0.0, "last_loss": None, "capturable": False}
    assert NAG([p]).defaults == shared | {"restart": None}
    assert SRSGD([p]).defaults == shared | {"restart_every": 40}


def test_lists_are_the_default_where_torch_prefers_them(monkeypatch):
    """On a GPU; here a CPU is taken for one."""
    module = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(module, "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    for options, expected in (({}, True), ({"foreach": False}, False)):
        p = torch.nn.Parameter(torch.ones(2))
        optimizer = SRSGD([p], lr=0.1, **options)
        p.grad = torch.ones(2)
        with torch.profiler.profile() as profile:
            optimizer.step()
        lists = [e.key for e in profile.key_averages() if e.key.startswith("aten::_foreach")]
        assert bool(lists) == expected


def test_a_learning_rate_that_is_learned():
    """The same steps as with a number, and in each the same sum of gradients as its derivative."""
    found = []
    for lr in (0.1, torch.tensor(0.1, dtype=torch.float64, requires_grad=True)):
        start, gradient = problem()
        w = start.clone()
        optimizer = NAG([w.requires_grad_()], lr=0.1, weight_decay=0.1, differentiable=True)
        p = w.clone()
        optimizer.param_groups[0].update(params=[p], lr=lr)
        for _ in range(4):
            p.grad = gradient(p.clone())
            optimizer.step()
        found.append(p)
    torch.testing.assert_close(*found, rtol=0, atol=1e-14)
    (slope,) = torch.autograd.grad(found[1].sum(), lr)
    assert slope.abs() > 0.1


def test_differentiable_steps_leave_earlier_buffers_alone():
    start, gradient = problem()
    p = start.clone().requires_grad_().clone()
    optimizer = NAG([start.clone().requires_grad_()], lr=0.1, differentiable=True)
    optimizer.param_groups[0]["params"] = [p]
    for step in range(4):
        p.grad = gradient(p)
        if step > 1:
            held = optimizer.state[p]["momentum_buffer"]
            before = held.clone()
            optimizer.step()
            assert torch.equal(held, before)
        else:
            optimizer.step()


@pytest.mark.parametrize(
    ("make", "gradient", "message"),
    [
        (
            lambda: torch.nn.Parameter(torch.ones(2, dtype=torch.complex64)),
            lambda: torch.ones(2, dtype=torch.complex64),
            r"requires floating point parameters, got torch\.complex64",
        ),
        (
            lambda: torch.nn.Parameter(torch.ones(2)),
            lambda: torch.ones(2).to_sparse(),
            "does not support sparse gradients",
        ),
        (  # it has no address
            lambda: torch.nn.Parameter(torch.ones(2).to_sparse()),
            lambda: torch.ones(2).to_sparse(),
            "does not support sparse gradients",
        ),
    ],
)
def test_what_fused_steps_do_not_support(make, gradient, message):
    p = make()
    p.grad = gradient()
    with pytest.raises(RuntimeError, match=message):
        NAG([p], lr=0.1, fused=True).step()
