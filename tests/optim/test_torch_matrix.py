"""Torch's own matrix of optimizers, on ours: its inputs, errors and schedulers; SGD as control.

``torch.testing._internal.common_optimizers`` ships the matrix, and not the tests that run over it:
those here hold to the same promises.
"""

import copy
import pickle

import pytest
import torch
from torch.nn import Parameter

from torchmomentum.optim import NAG, SRSGD
from torchmomentum.sampling import HMC, LMC

matrix = pytest.importorskip("torch.testing._internal.common_optimizers")
Input = matrix.OptimizerInput


def _ours(device, dtype=None):
    """SGD's inputs, as far as they are not about its momentum, and restarts."""
    shared = [i for i in matrix.optim_inputs_func_sgd(device, dtype) if "momentum" not in i.kwargs]
    return [*shared, Input(None, {"weight_decay": 0.1, "lr": 1e-2}, "both")]


def _nag(device, dtype=None):
    policies = (3, [(2, 1), (9, 4)], "gradient")
    return [*_ours(device, dtype), *(Input(None, {"restart": p}, f"restart {p}") for p in policies)]


def _srsgd(device, dtype=None):
    return [*_ours(device, dtype), Input(None, {"restart_every": 2}, "every 2")]


def _sampler(device, dtype=None):
    """Without noise, so that there is a direction to go in."""
    options = ({}, {"lr": 1e-2}, {"potential_scale": 3.0}, {"lr": torch.tensor(0.001)})
    return [Input(None, {"temperature": 0.0, **given}, str(given)) for given in options]


def _hmc(device, dtype=None):
    more = ({"friction": 5.0}, {"inverse_mass": 2.0}, {"start": "position"})
    return [
        *_sampler(device, dtype),
        *(Input(None, {"temperature": 0.0, **given}, str(given)) for given in more),
    ]


def _errors(device, dtype):
    return matrix.get_error_inputs_for_all_optims(device, dtype)


def _info(cls, inputs, impls=(), sparse=True, complex_=True):
    return matrix.OptimizerInfo(
        cls,
        optim_inputs_func=inputs,
        optim_error_inputs_func=_errors,
        scheduler_inputs=SGD.scheduler_inputs,
        supported_impls=impls,
        supports_sparse=sparse,
        supports_complex=complex_,
        supports_fused_on=("cpu",) if "fused" in impls else (),
    )


SGD = next(info for info in matrix.optim_db if info.optim_cls is torch.optim.SGD)
_IMPLS = ("foreach", "differentiable", "fused")
INFOS = [SGD, _info(NAG, _nag, _IMPLS), _info(SRSGD, _srsgd, _IMPLS)]
INFOS += [_info(LMC, _sampler), _info(HMC, _hmc)]
CASES = [
    pytest.param(info, given, id=f"{info.name}-{given.desc}")
    for info in INFOS
    for given in info.optim_inputs_func("cpu")
]
cases = pytest.mark.parametrize(("info", "given"), CASES)
infos = pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)


def _kwargs(given, **more):
    return {**copy.deepcopy(given.kwargs), **more}


def _implementations(info):
    return [{}, *({name: True} for name in info.supported_impls if name != "differentiable")]


def _draw(dtype=torch.float64, shapes=((3, 5), (5,), ())):
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(s, dtype=dtype, generator=generator)) for s in shapes]


def _train(optimizer, parameters, steps=7, skip=()):
    """Steps over gradients that are the same for any two that are compared."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for number, p in enumerate(parameters):
            grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
            p.grad = None if (step, number) in skip else grad
        optimizer.step()
    return [p.detach().clone() for p in parameters]


# a first momentum of the position itself leads away
@pytest.mark.parametrize(
    ("info", "given"), [case for case in CASES if "start" not in case.values[1].kwargs]
)
@pytest.mark.parametrize("scheduled", range(-1, len(SGD.scheduler_inputs)))
@pytest.mark.parametrize("contiguous", [True, False])
def test_goes_in_the_right_direction(info, given, scheduled, contiguous):
    weight, bias, x = (p.detach() for p in _draw(shapes=((10, 5), (10,), (5,))))
    if not contiguous:
        weight = torch.stack([weight, weight], -1)[..., 0]
    weight, bias = Parameter(weight), Parameter(bias)
    optimizer = info.optim_cls([weight, bias], **_kwargs(given))
    schedulers = [
        make(optimizer) for make in (SGD.scheduler_inputs[scheduled] if scheduled >= 0 else ())
    ]

    def closure():
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).square().sum()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(20):
        loss = optimizer.step(closure)
        for scheduler in schedulers:
            plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*([loss.item()] if plateau else []))
    last = closure().item()
    assert (last > first) if given.kwargs.get("maximize") else (last < first)


@cases
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_all_implementations_are_one(info, given, dtype):
    skip = {(1, 0), (2, 0), (2, 1), (2, 2), (4, 2)}  # steps without some gradients or any
    found = []
    for how in _implementations(info):
        parameters = _draw(dtype)
        frozen = Parameter(torch.ones(2), requires_grad=False)
        empty = Parameter(torch.empty(0, 3, dtype=dtype))
        optimizer = info.optim_cls([*parameters, frozen, empty], **_kwargs(given, **how))
        found.append(_train(optimizer, parameters, skip=skip))
        assert torch.equal(frozen, torch.ones(2))
    close = {"rtol": 1e-9, "atol": 1e-12} if dtype == torch.float64 else {}
    for values in found[1:]:
        torch.testing.assert_close(values, found[0], **close)


@cases
def test_a_tensor_as_learning_rate_is_its_number(info, given):
    lr = float(given.kwargs.get("lr", 1e-3))
    values = []
    for rate in (lr, torch.tensor(lr, dtype=torch.float64)):
        for how in _implementations(info):
            parameters = _draw()
            optimizer = info.optim_cls(parameters, **_kwargs(given, lr=rate, **how))
            values.append(_train(optimizer, parameters))
    for other in values[1:]:
        torch.testing.assert_close(other, values[0], rtol=1e-9, atol=1e-12)


@cases
def test_complex_is_two_reals(info, given):
    if not info.supports_complex:
        pytest.skip("real parameters only")
    for how in _implementations(info):
        if "fused" in how:  # torch's kernels have real numbers only
            continue
        parameter = _draw(torch.complex128, shapes=((3, 2),))[0]
        real = Parameter(torch.view_as_real(parameter.detach()).clone())
        one = info.optim_cls([parameter], **_kwargs(given, **how))
        two = info.optim_cls([real], **_kwargs(given, **how))
        for step in range(6):
            grad = torch.randn(3, 2, dtype=torch.complex128)
            parameter.grad, real.grad = grad, torch.view_as_real(grad).clone()
            one.step()
            two.step()
            torch.testing.assert_close(torch.view_as_real(parameter), real, msg=f"step {step}")


# torch says once that it does not check what indices stand in a sparse tensor
@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@infos
def test_sparse_gradients(info):
    if not info.supports_sparse:
        pytest.skip("dense gradients only")
    kwargs = {"temperature": 0.0} if issubclass(info.optim_cls, (LMC, HMC)) else {}
    dense, sparse = (Parameter(torch.ones(6, 2, dtype=torch.float64)) for _ in range(2))
    one, two = (info.optim_cls([p], lr=1e-2, **kwargs) for p in (dense, sparse))
    for step in range(6):
        rows = torch.tensor([[step, 1, 1]])  # one of them twice: it is to be summed
        grad = torch.sparse_coo_tensor(rows, torch.randn(3, 2, dtype=torch.float64), (6, 2))
        dense.grad, sparse.grad = grad.to_dense(), grad
        one.step()
        two.step()
        torch.testing.assert_close(sparse, dense)


@cases
def test_groups_have_their_own_numbers(info, given):
    a, b = _draw(shapes=((3,), (3,)))
    still = b.detach().clone()
    groups = [{"params": [a]}, {"params": [b], "lr": 1e-28}]
    _train(info.optim_cls(groups, **_kwargs(given)), [a, b])
    torch.testing.assert_close(b.detach(), still)
    assert not torch.equal(a.detach(), _draw(shapes=((3,), (3,)))[0])


@cases
def test_steps_that_do_nothing(info, given):
    parameters = _draw()
    before = [p.detach().clone() for p in parameters]
    optimizer = info.optim_cls(parameters, **_kwargs(given))
    optimizer.step()
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    if given.kwargs.get("weight_decay") or given.kwargs.get("start") == "position":
        return
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))


@cases
@pytest.mark.parametrize("kept", ["state_dict", "weights_only", "deepcopy", "pickle", "named"])
def test_goes_on_from_what_was_kept(info, given, kept, tmp_path):
    whole = _draw()
    optimizer = info.optim_cls(whole, **_kwargs(given))
    _train(optimizer, whole, steps=3)
    parts = [Parameter(p.detach().clone()) for p in whole]
    if kept in ("deepcopy", "pickle"):
        pair = (optimizer, whole)
        other, parts = (
            copy.deepcopy(pair) if kept == "deepcopy" else pickle.loads(pickle.dumps(pair))
        )
        assert {k for k in vars(optimizer) if not k.startswith("_")} <= set(vars(other))
    else:
        listed = list(zip("abc", parts, strict=True)) if kept == "named" else parts
        other = info.optim_cls(listed, **_kwargs(given))
        state = copy.deepcopy(optimizer.state_dict())
        if kept == "weights_only":
            torch.save(state, tmp_path / "state")
            state = torch.load(tmp_path / "state", weights_only=True)
        before = copy.deepcopy(state)
        other.load_state_dict(state)
        torch.testing.assert_close(before["state"], state["state"])  # loading changes nothing
        assert [str(k) for k in before["state"]] == [str(k) for k in state["state"]]
    torch.testing.assert_close(_train(optimizer, whole), _train(other, parts), rtol=0, atol=0)


@infos
def test_hooks_in_order_and_gone_when_removed(info):
    parameters, called = _draw(), []
    optimizer = info.optim_cls(parameters)
    handles = [
        optimizer.register_step_pre_hook(lambda *a: called.append("before")),
        optimizer.register_step_post_hook(lambda *a: called.append("after")),
        optimizer.register_state_dict_pre_hook(lambda *a: called.append("saving")),
        optimizer.register_state_dict_post_hook(lambda *a: called.append("saved")),
        optimizer.register_load_state_dict_pre_hook(lambda *a: called.append("loading")),
        optimizer.register_load_state_dict_post_hook(lambda *a: called.append("loaded")),
    ]
    for _ in range(2):
        _train(optimizer, parameters, steps=1)
        optimizer.load_state_dict(optimizer.state_dict())
        for handle in handles:
            handle.remove()
    assert called == ["before", "after", "saving", "saved", "loading", "loaded"]


@infos
def test_shown(info):
    shown = repr(info.optim_cls(_draw()))
    assert shown.startswith(f"{info.name} (")
    assert "lr" in shown


ERRORS = [
    pytest.param(info, error, id=f"{info.name}-{error.optimizer_error_input.desc}")
    for info in INFOS
    for error in matrix.get_error_inputs_for_all_optims("cpu", torch.float64)
]


@pytest.mark.parametrize(("info", "error"), ERRORS)
def test_errors(info, error):
    given = error.optimizer_error_input
    parameters = _draw() if given.params is None else given.params
    if error.error_type is UserWarning:
        with pytest.warns(UserWarning, match=error.error_regex):
            info.optim_cls(parameters, **given.kwargs)
    else:
        with pytest.raises(error.error_type, match=error.error_regex):
            info.optim_cls(parameters, **given.kwargs)
