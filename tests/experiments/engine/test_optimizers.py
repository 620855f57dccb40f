"""What changes from epoch to epoch: the learning rate, and SRSGD's interval."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from torchmomentum.experiments.engine.optimizers import (
    Schedule,
    build_optimizer,
    build_schedules,
    optimizer_of,
    parameters_of,
)
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training


def _recipe(optimizer="srsgd", epochs=10, schedule=None, **options):
    options = {"lr": 0.1, **options}
    return Training(
        "x", "y", optimizer, optimizer_options=options, schedule=schedule or {}, epochs=epochs
    )


def _followed(recipe):
    """The learning rate and the restart interval of each epoch."""
    optimizer = build_optimizer(recipe, [nn.Parameter(torch.ones(2))])
    schedules, found = build_schedules(recipe, optimizer), []
    for _ in range(recipe.epochs):
        group = optimizer.param_groups[0]
        found.append((group["lr"], group.get("restart_every")))
        group["params"][0].grad = torch.ones(2)
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    return found


def test_a_rate_rises_and_falls_along_a_cosine():
    recipe = _recipe("adamw", 6, {"warmup": 1 / 3, "cosine": True}, weight_decay=0.0)
    falling = [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    expected = 0.1 * np.array([1 / 3, 2 / 3, *falling])
    np.testing.assert_allclose([rate for rate, _ in _followed(recipe)], expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cosine": True, "milestones": (2,)}, "along a cosine or at milestones"),
        ({"warmup": 0.5}, "with cosine=True only"),
        ({"cosine": True, "warmup": 1.0}, r"warmup must be in \[0, 1\), got 1"),
    ],
)
def test_what_a_schedule_would_leave_out_is_rejected(given, words):
    with pytest.raises(ValueError, match=words):
        Schedule(**given)


def test_rate_and_interval_change_at_the_milestones():
    schedule = {"milestones": [4, 8], "restarts": [30, 60, 90]}
    rates, intervals = zip(*_followed(_recipe(schedule=schedule)), strict=True)
    np.testing.assert_allclose(rates, [0.1] * 4 + [0.01] * 4 + [0.001] * 2)
    assert intervals == (30,) * 4 + (60,) * 4 + (90,) * 2
    plain = _followed(_recipe("sgd", schedule={"milestones": [4]}, momentum=0.9))
    np.testing.assert_allclose([rate for rate, _ in plain], [0.1] * 4 + [0.01] * 6)
    assert build_schedules(_recipe(), None) == []


@pytest.mark.parametrize(("first", "last", "epochs"), [(61, 80, 90), (3, 7, 5), (4, 9, 5)])
def test_the_last_interval_fades_evenly_to_one(first, last, epochs):
    schedule = Schedule((2, first), 0.1, (40, 50, last), restart_fades=True, epochs=epochs)
    milestones, restarts = schedule.stages()
    assert milestones == [2, first, *range(first + 1, epochs)]
    even = np.linspace(last, 1, epochs - first) if epochs - first > 1 else [1]
    assert restarts[:2] == [40, 50]
    assert np.abs(np.array(restarts[2:]) - even).max() <= 0.5
    assert restarts[-1] == 1
    still = Schedule((2, first), 0.1, (40, 50, last), epochs=epochs)
    assert still.stages() == ([2, first], [40, 50, last])


def test_each_stage_begins_anew_unless_told_otherwise():
    for anew in (True, False):
        schedule = {"milestones": [1], "restarts": [9, 9], "restart_at_milestones": anew}
        recipe = _recipe(epochs=2, schedule=schedule)
        optimizer = build_optimizer(recipe, [nn.Parameter(torch.ones(2))])
        schedules = build_schedules(recipe, optimizer)
        for _ in range(3):
            optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
            optimizer.step()
        for each in schedules:
            each.step()
        assert (optimizer.param_groups[0]["cycle_step"] == 0) is anew


class Own(torch.optim.SGD):
    def __init__(self, params, lr=0.5, *, push=2.0):
        super().__init__(params, lr * push)


def test_an_own_optimizer_takes_what_its_signature_says(monkeypatch):
    from torchmomentum.experiments.registry import OPTIMIZERS

    monkeypatch.setattr(OPTIMIZERS, "_entries", {**OPTIMIZERS._entries, "own": Own})
    assert optimizer_of("own").options == {"lr": 0.5, "push": 2.0}
    made = build_optimizer(_recipe("own", push=3.0), [nn.Parameter(torch.ones(1))])
    assert made.param_groups[0]["lr"] == pytest.approx(0.3)
    with pytest.raises(UsageError, match=r"optimizer sgd: .*pull"):
        build_optimizer(_recipe("sgd", pull=1), [nn.Parameter(torch.ones(1))])


def test_the_rates_where_no_recipe_names_one():
    names = ("rmsprop", "adam", "sgd", "nag", "srsgd")
    assert {name: optimizer_of(name).options["lr"] for name in names} == {
        "rmsprop": 1e-3,
        "adam": 1e-3,
        "sgd": 0.1,
        "nag": 0.1,
        "srsgd": 0.1,
    }


def _groups(seed=0):
    torch.manual_seed(seed)
    first, second = (nn.Parameter(torch.randn(3)) for _ in range(2))
    return first, second, [{"params": [first]}, {"params": [second], "lr": 0.03}]


def _step(optimizer, *parameters):
    optimizer.zero_grad()
    sum((p**2).sum() for p in parameters).backward()
    optimizer.step()


def test_adam_and_rmsprop_step_their_own_group():
    first, second, groups = _groups()
    made = build_optimizer(_recipe("adam-rmsprop", lr=0.01, alpha=0.9), groups)
    assert [group["lr"] for group in made.param_groups] == [0.01, 0.03]
    ours, theirs, _ = _groups()
    adam = torch.optim.Adam([ours], 0.01)
    rmsprop = torch.optim.RMSprop([theirs], 0.03, 0.9)
    for step in range(4):
        _step(made, first, second)
        _step(adam, ours)
        _step(rmsprop, theirs)
        if step == 1:  # from a checkpoint
            held = copy.deepcopy(made.state_dict())
            made = build_optimizer(_recipe("adam-rmsprop", lr=0.5, alpha=0.5), groups)
            made.load_state_dict(held)
    assert torch.equal(first, ours)
    assert torch.equal(second, theirs)


def test_a_closure_is_called_once():
    first, _, groups = _groups()
    calls = []

    def closure():
        calls.append(0)
        loss = (first**2).sum()
        loss.backward()
        return loss

    made = build_optimizer(_recipe("adam-rmsprop", lr=0.01), groups)
    assert made.step(closure) == (_groups()[0] ** 2).sum()
    assert len(calls) == 1


def test_a_models_own_groups():
    model = nn.Linear(2, 3)
    assert [*map(id, parameters_of(model))] == [*map(id, model.parameters())]
    model.parameter_groups = lambda: [{"params": [model.weight], "lr": 0.5}]
    assert [group["lr"] for group in parameters_of(model)] == [0.5]
