import numpy as np
import pytest
import torch

from torchmomentum.optim import SRSGD, RestartScheduler


def _optimizer():
    return SRSGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, restart_every=7)


def _intervals(scheduler, steps):
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["restart_every"])
        scheduler.step()
    return found


def test_stages_begin_at_their_milestones():
    scheduler = RestartScheduler(_optimizer(), milestones=[2, 3], restart_every=[30, 60, None])
    assert _intervals(scheduler, 5) == [30, 30, 60, None, None]
    assert scheduler.get_last_restart_every() is None


def test_the_released_schedules():
    milestones = [80, 120, 160]
    linear = RestartScheduler.linear(_optimizer(), milestones, first=30, increment=30, stages=4)
    assert linear.restart_every == [30, 60, 90, 120]
    linear = RestartScheduler.linear(_optimizer(), milestones, 30, 30, restart_at_milestones=True)
    assert linear.restart_every == [30, 60, 90, 120]
    assert linear.restart_at_milestones
    exponential = RestartScheduler.exponential(_optimizer(), milestones, first=40, ratio=1.25)
    assert exponential.restart_every == [40, 50, 63, 78]
    exponential = RestartScheduler.exponential(_optimizer(), [1], 4, 1.5, 2)
    assert exponential.restart_every == [4, 6]


def test_a_state_is_the_schedulers_own():
    scheduler = RestartScheduler(_optimizer(), [2, 4], [3, 5, 9])
    assert not scheduler.restart_at_milestones
    saved = scheduler.state_dict()
    saved["milestones"].append(7)
    assert scheduler.milestones == [2, 4]
    scheduler.load_state_dict(saved)
    saved["milestones"].clear()
    assert scheduler.milestones == [2, 4, 7]


def test_composes_with_a_learning_rate_scheduler():
    optimizer = _optimizer()
    restarts = RestartScheduler(optimizer, [2], [3, 5])
    rates = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
    p = optimizer.param_groups[0]["params"][0]
    for _ in range(3):
        p.grad = torch.ones(2)
        optimizer.step()
        rates.step()
        restarts.step()
    assert optimizer.param_groups[0]["restart_every"] == 5
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_resumes_from_its_state():
    scheduler = RestartScheduler(_optimizer(), [2, 4], [3, 5, 9])
    for _ in range(3):
        scheduler.step()
    again = RestartScheduler(_optimizer(), [1], [1, 1])
    again.load_state_dict(scheduler.state_dict())
    assert _intervals(again, 3) == [5, 9, 9]
    assert "optimizer" not in scheduler.state_dict()


@pytest.mark.parametrize(("fresh", "expected"), [(False, 3), (True, 1)])
def test_a_milestone_may_restart_the_momentum(fresh, expected):
    optimizer = _optimizer()
    scheduler = RestartScheduler(optimizer, [1], [9, 9], restart_at_milestones=fresh)
    p = optimizer.param_groups[0]["params"][0]
    for step in range(3):
        p.grad = torch.ones(2)
        optimizer.step()
        if step == 1:
            scheduler.step()
    assert optimizer.param_groups[0]["cycle_step"] == expected


@pytest.mark.parametrize(
    ("milestones", "intervals", "error", "message"),
    [
        (
            [3, 2],
            [1, 2, 3],
            ValueError,
            r"milestones must increase, got \[3, 2\]",
        ),
        ([0], [1, 2], ValueError, "each milestone must be at least 1, got 0"),
        ([2], [1], ValueError, "each of the 2 stages, got 1"),
        ([2], [1, 0], ValueError, "restart_every must be at least 1 iteration, got 0"),
        ([2.0], [1, 2], TypeError, "each milestone must be an int, got float"),
        ([True], [1, 2], TypeError, "each milestone must be an int, got bool"),
        ([2, 2], [1, 2, 3], ValueError, "milestones must increase"),
        ([2], [1, 2, 3], ValueError, "each of the 2 stages, got 3"),
        ([2], [1, 2.5], TypeError, "restart_every must be an int or None, got float"),
    ],
)
def test_wrong_schedules_are_named(milestones, intervals, error, message):
    with pytest.raises(error, match=message):
        RestartScheduler(_optimizer(), milestones, intervals)


def test_the_least_that_is_allowed():
    scheduler = RestartScheduler(_optimizer(), [1, 2], [1, 1, 2])
    assert _intervals(scheduler, 3) == [1, 1, 2]


def test_only_for_optimizers_with_restarts():
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(TypeError, match="SGD is no optimizer with scheduled restarts"):
        RestartScheduler(sgd, [2], [1, 2])


def test_numpys_integers_are_kept_as_pythons():
    optimizer = _optimizer()
    scheduler = RestartScheduler(optimizer, np.array([1]), np.array([30, 60]))
    kept = [optimizer.param_groups[0]["restart_every"], *scheduler.restart_every]
    scheduler = RestartScheduler.linear(optimizer, scheduler.milestones, np.int64(3), 3)
    kept += [*scheduler.milestones, *scheduler.restart_every]
    assert {type(value) for value in kept} == {int}
