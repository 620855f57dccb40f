"""The contract itself: it must fail where something is broken."""

from functools import partial

import pytest
import torch
from torch import nn

import torchmomentum.nn as tnn
from torchmomentum.optim import SRSGD
from torchmomentum.sampling import HMC, LMC
from torchmomentum.testing import ContractError, check_optimizer, check_rnn


class WrongOrder(tnn.MomentumLSTM):
    def forward(self, input, hx=None):
        out, state = super().forward(input, hx)
        return out.flip(0) if isinstance(out, torch.Tensor) else out, state


class Forgets(tnn.MomentumLSTM):
    def forward(self, input, hx=None):
        return super().forward(input, None)


class Detached(tnn.MomentumLSTM):
    def forward(self, input, hx=None):
        out, state = super().forward(input, hx)
        if isinstance(out, torch.Tensor):
            out = out + 0.1 * out.detach()
        return out, state


@pytest.mark.parametrize(
    ("layer", "check"), [(WrongOrder, "batch_first"), (Forgets, "goes_on"), (Detached, "packed")]
)
def test_broken_layers_are_found(layer, check):
    with pytest.raises(ContractError, match=check):
        check_rnn(layer)


def test_a_cut_gradient_is_found():
    others = ["shapes", "batch_first", "unbatched", "packed", "goes_on", "copies", "types"]
    others += ["leaves_its_input", "non_contiguous", "meta_device", "refusals"]
    with pytest.raises(ContractError, match="gradients"):
        check_rnn(Detached, skip=others)


class ChangesGradients(SRSGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(0.9)
        return super().step(closure)


class LosesCounter(SRSGD):
    def state_dict(self):
        state = super().state_dict()
        for group in state["param_groups"]:
            group["cycle_step"] = 0
        return state


@pytest.mark.parametrize(
    ("optimizer", "check"), [(ChangesGradients, "leaves_gradients"), (LosesCounter, "resumes")]
)
def test_broken_optimizers_are_found(optimizer, check):
    with pytest.raises(ContractError, match=check):
        check_optimizer(optimizer)


def test_sgd_fails_where_we_do_better():
    with pytest.raises(ContractError, match=r"refuses_not_finite: lr=nan: no error was raised"):
        check_optimizer(torch.optim.SGD)
    with pytest.raises(ContractError, match="differentiable"):
        check_optimizer(partial(torch.optim.SGD, momentum=0.9))


def test_unknown_checks_are_named():
    with pytest.raises(ValueError, match=r"unknown checks \['shape'\]; known: shapes, "):
        check_rnn(nn.LSTM, skip=["shape"])


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
    without = ["foreach", "fused", "maximize", "differentiable", "leaves_gradients", "groups"]
    assert "sparse" in check_optimizer(make, skip=without)
