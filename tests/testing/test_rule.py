"""The contract of rules: every rule of ours keeps it, and each check finds its own fault."""

from functools import partial

import pytest
import torch

import torchmomentum.nn as tnn
from tests.testing.faults import is_found
from tests.testing.faulty_rules import (
    LIES,
    AllSteps,
    AllStepsGoingOn,
    ChangesDrives,
    ChangesWithLengths,
    Clipped,
    CopiedAnew,
    Counted,
    Detached,
    DetachedState,
    FalseMoments,
    FalseVelocity,
    FollowsLate,
    Forgets,
    ForgetsItsCount,
    Grows,
    HalfState,
    InPlace,
    Learned,
    LearnedWithReset,
    ListState,
    LosesTheHidden,
    Narrows,
    NoDevice,
    NoTypes,
    OtherLast,
    OtherScan,
    PapersAdam,
    PickledAnew,
    Plain,
    PlainTuple,
    StopsEarly,
    Swells,
    TimeFirst,
    Widens,
    lie,
)
from torchmomentum.testing import check_rule
from torchmomentum.testing._rule import CONTRACT

RULES = {
    "momentum": partial(tnn.Momentum, 0.6, 0.9),
    "nesterov": partial(tnn.Nesterov, 0.9),
    "restarted": partial(tnn.Nesterov, 0.9, restart=3),
    "released": partial(tnn.NesterovLookahead, 0.9, restart=3),
    "adam": partial(tnn.Adam, 0.6, 0.9, 0.7),
    "rmsprop": partial(tnn.RMSProp, 0.9, 0.7),
    "gain": partial(tnn.Gain, 2.5),
    "hidden momentum": partial(tnn.Momentum, 0.6, 0.9, space="hidden"),
    "hidden adam": partial(tnn.Adam, 0.6, 0.9, 0.7, space="hidden"),
}


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_our_rules_keep_the_contract(name, learnable):
    assert check_rule(partial(RULES[name], learnable=learnable)) == list(CONTRACT.checks)


@pytest.mark.parametrize("make", [Plain, Clipped])
def test_a_users_rule_keeps_it(make):
    check_rule(make)


@pytest.mark.parametrize("name", LIES)
def test_a_rule_that_only_says_that_it_is_linear(name):
    change, words = LIES[name]
    is_found(CONTRACT, "linear", lie(change), "linear is True")
    with pytest.raises(AssertionError, match=words):
        CONTRACT.checks["linear"](lie(change))


def test_what_does_not_say_so_need_not_be_linear():
    make = lie(torch.relu)
    make.linear = False
    CONTRACT.run(make, ["copies", "gradients"])


FAULTS = [
    ("in_a_layer", FalseMoments, "a layer without the rule's kernel"),
    ("in_a_layer", partial(FalseVelocity, 0.6), "a cell without gradients"),
    ("in_a_layer", LosesTheHidden, "a layer that goes on from a state"),
    ("in_a_layer", FollowsLate, "a layer that goes on from a state"),
    ("state", ListState, "not a tuple"),
    ("state", lambda: torch.nn.Identity(), "expected a torchmomentum.nn.Rule, got Identity"),
    ("state", NoTypes, "float32 state of torch.float64"),
    ("state", NoDevice, "on the meta device"),
    ("state", TimeFirst, "state of size [4]"),
    ("state", PlainTuple, "step returns a state of tuple"),
    ("state", Grows, "scan from a state changes the state's size"),
    ("state", Narrows, "step changes the state's type"),
    ("scan_equals_steps", OtherScan, "output of scan: differs"),
    ("scan_equals_steps", OtherLast, "state after scan: differs"),
    ("goes_on", Forgets, "output, cut at 1"),
    ("goes_on", ForgetsItsCount, "state, cut at 1"),
    ("lengths", AllSteps, "state after 2 steps"),
    ("lengths", AllStepsGoingOn, "state after 2 steps"),
    ("lengths", StopsEarly, "sequence of 2 steps"),
    ("types", Widens, "output of torch.float32 for torch.bfloat16"),
    ("types", HalfState, "state of torch.bfloat16 for torch.bfloat16, expected torch.float32"),
    ("stays_finite", PapersAdam, "silent drives: the gradient is not finite"),
    ("stays_finite", Swells, "silence after a drive: the state is not finite"),
    ("stays_finite", lambda: lie(lambda y: y * 1e10)(), "large drives: the output"),
    (
        "stays_finite",
        lambda: lie(lambda y: y * torch.tensor([1, 1, 1, 1e10]))(),
        "large drives: the output",
    ),
    ("gradients", Detached, ""),
    ("gradients", DetachedState, ""),
    ("leaves_its_input", InPlace, "were changed"),
    ("leaves_its_input", ChangesDrives, "were changed"),
    ("leaves_its_input", ChangesWithLengths, "were changed"),
    ("copies", Counted, "state_dict"),
    ("copies", CopiedAnew, "deepcopy"),
    ("copies", PickledAnew, "pickle"),
    ("reset_parameters", Learned, "does not restore"),
]


@pytest.mark.parametrize(("check", "make", "words"), FAULTS)
def test_each_check_finds_its_fault(check, make, words):
    is_found(CONTRACT, check, make, words)


def test_every_check_has_a_fault():
    assert {check for check, _, _ in FAULTS} | {"linear"} == set(CONTRACT.checks)
    check_rule(LearnedWithReset)
