"""The contract of optimizers: SGD keeps it, and each check finds its own fault."""

from functools import partial

import pytest
import torch
from torch.optim import SGD

from tests.testing.faults import is_found
from torchmomentum.optim import SRSGD
from torchmomentum.sampling import HMC, LMC
from torchmomentum.testing import ContractError, check_optimizer
from torchmomentum.testing._optimizer_steps import CONTRACT


def test_all_checks_run():
    assert check_optimizer(SRSGD) == list(CONTRACT.checks)
    assert check_optimizer(SRSGD, skip=list(CONTRACT.checks)[1:]) == ["descends"]


def test_sgd_fails_where_we_do_better():
    with pytest.raises(ContractError, match=r"not_finite: lr=nan: no error was raised"):
        check_optimizer(SGD)
    with pytest.raises(ContractError, match="differentiable"):
        check_optimizer(partial(SGD, momentum=0.9))


@pytest.mark.parametrize(
    "make",
    [
        partial(LMC, temperature=0.0),
        partial(HMC, temperature=0.0, friction=3.0, inverse_mass=20.0),
    ],
    ids=["LMC", "HMC"],
)
def test_samplers_without_noise_are_optimizers(make):
    # they have no such options, and no step of length zero
    without = ["foreach", "fused", "maximize", "weight_decay", "differentiable"]
    without += ["leaves_gradients", "groups"]
    assert "sparse" in check_optimizer(make, skip=without)


class Faulty(SGD):
    """SGD with momentum, and a change after each step of what a condition chooses."""

    def __init__(self, params, *args, when=lambda group: True, change=None, **options):
        super().__init__(params, *args, **{"momentum": 0.5} | options)
        self.when, self.change = when, change

    @torch.no_grad()
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"] if self.when(group) else ():
                self.change(p)
        return loss


def _moves(when, by=1e-4):
    return partial(Faulty, when=when, change=lambda p: p.add_(by))


def _both(group):
    return group["maximize"] and group["weight_decay"]


class Stands(SGD):
    """Does not move parameters of one type."""

    def __init__(self, *args, dtype, **options):
        super().__init__(*args, **options)
        self.dtype = dtype

    def step(self, closure=None):
        loss = closure() if closure is not None else None
        if self.param_groups[0]["params"][0].dtype != self.dtype:
            super().step()
        return loss


class LosesState(SGD):
    def state_dict(self):
        return super().state_dict() | {"state": {}}


class LosesRate(SGD):
    def load_state_dict(self, state):
        rate = self.param_groups[0]["lr"]
        super().load_state_dict(state)
        self.param_groups[0]["lr"] = rate


class Takes(SGD):
    """Takes options that exclude each other."""

    def __init__(self, params, *, takes, fused=None, foreach=None, differentiable=False, **options):
        if takes == "foreach" and fused and foreach:
            foreach = None
        if takes == "differentiable" and fused and differentiable:
            differentiable = False
        super().__init__(
            params, fused=fused, foreach=foreach, differentiable=differentiable, **options
        )


class Decoupled(SGD):
    """Decays parameters apart from the gradient, as AdamW does."""

    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[0]
        decay = group["weight_decay"]
        for p in group["params"] if decay else ():
            p.mul_(1 - group["lr"] * decay)
        group["weight_decay"] = 0.0
        loss = super().step(closure)
        group["weight_decay"] = decay
        return loss


class WrongSign(SGD):
    """Where it maximizes, the weight decay makes parameters grow."""

    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[0]
        sign = -1 if group["maximize"] else 1
        group["weight_decay"] *= sign
        loss = super().step(closure)
        group["weight_decay"] *= sign
        return loss


class Minimizes(SGD):
    def __init__(self, *args, maximize=False, **options):
        super().__init__(*args, **options)


class ChangesGradients(SGD):
    """As an implementation does that adds the decay in place."""

    @torch.no_grad()
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.add_(p, alpha=group["weight_decay"])
        return loss


class ChangesOneByOne(ChangesGradients):
    def step(self, closure=None):
        lists = self.param_groups[0]["foreach"]
        return (super(ChangesGradients, self) if lists else super()).step(closure)


class DecaysAlways(SGD):
    @torch.no_grad()
    def step(self, closure=None):
        loss = super().step(closure)
        for p in self.param_groups[0]["params"]:
            if p.grad is None:
                p.mul_(0.9)
        return loss


class StateForAll(SGD):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            self.state[p]["counter"] = 1
        return super().step(closure)


class NoClosure(SGD):
    def step(self, closure=None):
        super().step(closure)


class CallsTwice(SGD):
    def step(self, closure=None):
        if closure is None:
            return super().step()
        with torch.enable_grad():
            loss = super().step(closure)
        super().step()
        return loss


class RoundsTensors(SGD):
    """A rate that is a tensor counts in half precision."""

    def __init__(self, params, lr=1e-3, **options):
        super().__init__(params, lr.half().item() if torch.is_tensor(lr) else lr, **options)


class TakesTwoRates(SGD):
    def __init__(self, params, lr=1e-3, **options):
        super().__init__(
            params, lr[0].item() if torch.is_tensor(lr) and lr.dim() else lr, **options
        )


class OneRate(SGD):
    def add_param_group(self, group):
        super().add_param_group({**group, "lr": self.defaults["lr"]})


class NoDefaultRate(SGD):
    """Groups have half the rate of bare parameters."""

    def __init__(self, params, lr=1e-3, **options):
        super().__init__(params, lr / 2 if isinstance(params[0], dict) else lr, **options)


class KeepsItsRate(SGD):
    def __init__(self, params, lr=1e-3, **options):
        super().__init__(params, lr, **options)
        self.kept = lr

    def step(self, closure=None):
        self.param_groups[0]["lr"] = self.kept
        return super().step(closure)


class NoNames(SGD):
    def __init__(self, params, *args, **options):
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        super().__init__(params, *args, **options)


class NoHooks(SGD):
    def register_step_pre_hook(self, hook):
        return None


class SumsOnce(SGD):
    """Takes one of the rows that a sparse gradient has several times."""

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None and p.grad.is_sparse:
                p.grad = p.grad.coalesce() * 0.9
        return super().step(closure)


class Conjugates(SGD):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            if p.is_complex():
                p.grad = p.grad.conj().resolve_conj() * 1j
        return super().step(closure)


class LosesGroups(SGD):
    def __getstate__(self):
        state = super().__getstate__()
        groups = [group | {"lr": 0.7} for group in state["param_groups"]]
        return state | {"param_groups": groups}

    def __deepcopy__(self, memo):
        return self


class CopiesAnew(SGD):
    def __deepcopy__(self, memo):
        return SGD(self.param_groups[0]["params"], 0.7)


class Unnamed(SGD):
    def __repr__(self):
        return "SGD"


class TakesWrong(SGD):
    """Takes one wrong argument."""

    def __init__(self, params, lr=1e-3, *, takes, **options):
        params = [params] if torch.is_tensor(params) and takes == "tensor" else params
        if isinstance(params, list) and (
            (takes == "none" and not params)
            or (takes == "no leaf" and params and not params[0].is_leaf)
        ):
            params = [torch.nn.Parameter(torch.zeros(1))]
        if takes == "decay":
            options["weight_decay"] = abs(options.get("weight_decay", 0))
        super().__init__(params, abs(lr) if takes == "rate" else lr, **options)


class RateAsNumber(SGD):
    """Differentiable, but not with respect to its learning rate."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = float(group["lr"])
        return super().step(closure)


class TakesInfinity(SGD):
    def __init__(self, params, lr=1e-3, **options):
        if lr != lr:
            raise ValueError("nan")
        super().__init__(params, lr, **options)


MOMENTUM = {"momentum": 0.5}
FAULTS = [
    ("descends", partial(Stands, dtype=torch.float32), "the loss went from"),
    ("descends", partial(Stands, dtype=torch.float64), "the loss went from"),
    ("resumes", partial(LosesState, **MOMENTUM), "resumed after 1 steps"),
    ("resumes", LosesRate, "resumed after 1 steps"),
    ("foreach", _moves(lambda g: g["foreach"]), "foreach, {}"),
    (
        "foreach",
        _moves(lambda g: g["foreach"] and g["weight_decay"] and not g["maximize"]),
        "foreach, {'weight_decay': 0.3}: ",
    ),
    ("foreach", _moves(lambda g: g["foreach"] and _both(g)), "'maximize': True}"),
    ("fused", _moves(lambda g: g["fused"]), "fused in torch.float64, {}"),
    (
        "fused",
        _moves(lambda g: g["fused"] and g["params"][0].dtype == torch.float32, by=1e-3),
        "fused in torch.float32, {}",
    ),
    ("fused", _moves(lambda g: g["fused"] and _both(g)), "'maximize': True}"),
    ("fused", partial(Takes, takes="foreach"), "fused and foreach: no error"),
    ("fused", partial(Takes, takes="differentiable"), "fused, differentiable: no error"),
    ("weight_decay", partial(Decoupled, **MOMENTUM), "a penalty in place of the decay"),
    ("maximize", Minimizes, "maximizing the negative, {}"),
    ("maximize", WrongSign, "maximizing the negative, {'weight_decay': 0.3}"),
    (
        "leaves_gradients",
        ChangesGradients,
        "gradients with {'weight_decay': 0.3}: ",
    ),
    ("leaves_gradients", ChangesOneByOne, "gradients with {'weight_decay': 0.3}: "),
    ("without_gradient", DecaysAlways, "moved"),
    ("without_gradient", StateForAll, "has a state"),
    ("closure", NoClosure, "does not return the loss"),
    ("closure", CallsTwice, "with a closure"),
    ("tensor_lr", RoundsTensors, "a tensor as learning rate"),
    ("tensor_lr", TakesTwoRates, "a learning rate of two: no error"),
    ("groups", OneRate, "a group with lr=0 moved"),
    ("groups", NoDefaultRate, "a group with the default"),
    ("scheduler", KeepsItsRate, "not scheduled"),
    ("names", NoNames, "not saved"),
    ("hooks", NoHooks, "step hooks ran as ['post', 'post']"),
    ("sparse", SumsOnce, "sparse gradients"),
    ("complex", Conjugates, "do not descend"),
    ("copying", LosesGroups, "pickle changes the groups"),
    ("copying", CopiesAnew, "deepcopy changes the groups"),
    ("copying", Unnamed, "repr does not show"),
    ("differentiable", partial(SGD, **MOMENTUM), ""),
    ("differentiable", RateAsNumber, ""),
    ("wrong_arguments", partial(TakesWrong, takes="rate"), "a negative learning rate: no"),
    ("wrong_arguments", partial(TakesWrong, takes="decay"), "a negative weight decay: no"),
    ("wrong_arguments", partial(TakesWrong, takes="none"), "no parameters: no"),
    ("wrong_arguments", partial(TakesWrong, takes="tensor"), "a bare tensor: no"),
    ("wrong_arguments", partial(TakesWrong, takes="no leaf"), "a tensor that is no leaf: no"),
    ("not_finite", SGD, "lr=nan"),
    ("not_finite", TakesInfinity, "lr=inf"),
]


@pytest.mark.parametrize(("check", "make", "words"), FAULTS)
def test_each_check_finds_its_fault(check, make, words):
    is_found(CONTRACT, check, make, words)


def test_every_check_has_a_fault():
    assert {check for check, _, _ in FAULTS} == set(CONTRACT.checks)
