"""What a group and a state dict call the restart policy."""

import pickle

import pytest
import torch

from torchmomentum.optim import NAG, SRSGD


@pytest.mark.parametrize(("make", "own"), [(NAG, "restart"), (SRSGD, "restart_every")])
@pytest.mark.parametrize("name", ["restart", "restart_every"])
def test_a_group_calls_its_policy_as_the_constructor_does(make, own, name):
    optimizer = make([{"params": [torch.nn.Parameter(torch.ones(2))], name: 10}], lr=0.1)
    assert optimizer.param_groups[0][own] == 10
    assert {"restart", "restart_every"} & {*optimizer.param_groups[0], *optimizer.defaults} == {own}


@pytest.mark.parametrize("make", [NAG, SRSGD])
@pytest.mark.parametrize("name", ["restart", "restart_every"])
def test_a_state_dict_may_call_the_policy_otherwise(make, name):
    """As NAG's did before version 0.2, and as the other class does."""
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.ones(2)
    optimizer = make([w], lr=0.1)
    state = optimizer.state_dict()
    group = state["param_groups"][0]
    group.pop("restart", None), group.pop("restart_every", None)
    group[name] = 2
    optimizer.load_state_dict(state)
    assert {"restart", "restart_every"} & {*optimizer.param_groups[0]} == {
        "restart" if make is NAG else "restart_every"
    }
    counts = []
    for _ in range(5):
        optimizer.step()
        counts.append(optimizer.param_groups[0]["cycle_step"])
    assert counts == [1, 2, 1, 2, 1]


def test_an_optimizer_that_was_pickled_under_the_other_name_goes_on():
    optimizer = NAG([torch.nn.Parameter(torch.ones(2))], restart=2)
    for values in (optimizer.defaults, optimizer.param_groups[0]):
        values["restart_every"] = values.pop("restart")
    found = pickle.loads(pickle.dumps(optimizer))
    assert found.defaults["restart"] == found.param_groups[0]["restart"] == 2
    found.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    for values in (found.defaults, *found.param_groups):
        assert "restart_every" not in values


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}], ids=str)
def test_a_parameter_without_a_gradient_after_a_restart_has_forgotten_too(options):
    """Its next step is one without momentum from before."""
    first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = NAG([second, first], 0.1, restart=5, **options)
    for step in range(8):
        first.grad, second.grad = torch.ones(3), None if step == 6 else torch.ones(3)
        before = second.detach().clone()
        optimizer.step()
    change = before - second.detach()  # of j = 2, with mu = 2 / 5, and none of the steps before
    torch.testing.assert_close(change, torch.full((3,), 0.1 * (1 + 2 / 5)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SRSGD(p, lr="0.1"), "lr must be a number or a tensor of one element, got str"),
        (lambda p: NAG(p, lr=True), "lr must be a number or a tensor of one element, got bool"),
        (lambda p: SRSGD(p, weight_decay=None), "weight_decay must be a number, got NoneType"),
        (lambda p: SRSGD(p, momentum=0.9), r"SRSGD.__init__\(\) got an unexpected .* 'momentum'"),
        (lambda p: SRSGD(p, restart_every=None), "restart_every must be an int, got NoneType"),
    ],
)
def test_wrong_types_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make([torch.nn.Parameter(torch.ones(1))])
