import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR, LRScheduler, SequentialLR

from torchmomentum.optim import NAG, SRSGD, RestartScheduler


def _optimizer():
    return SRSGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, restart_every=7)


def _intervals(scheduler, steps):
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["restart_every"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_stages_begin_at_their_milestones():
    scheduler = RestartScheduler(_optimizer(), milestones=[2, 3], restart_every=[30, 60, None])
    assert _intervals(scheduler, 5) == [30, 30, 60, None, None]
    assert scheduler.get_last_restart_every() == [None]


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
    _intervals(scheduler, 3)
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
        ([2], [[1, 2], 3], ValueError, "each of the 1 parameter groups, got"),
        ([2], [[1, 2], [3, 4]], ValueError, "each of the 1 parameter groups, got"),
        ([2], [[1]], ValueError, "each of the 2 stages, got 1"),
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


def _groups(*intervals, **options):
    named = [{} if value is None else {"restart_every": value} for value in intervals]
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], **values} for values in named]
    return SRSGD(groups, lr=0.1, restart_every=7, **options)


def test_groups_keep_intervals_of_their_own():
    optimizer = _groups(3, None, 5)
    scheduler = RestartScheduler(optimizer, [1], [10, 20])
    assert scheduler.get_last_restart_every() == [3, 10, 5]
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_restart_every() == [3, 20, 5]
    # an interval that a first scheduler set is nobody's own
    again = RestartScheduler(optimizer, [1], [40, 80])
    assert again.get_last_restart_every() == [3, 40, 5]
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    own = {"params": [torch.nn.Parameter(torch.ones(1))], "restart_every": 9}
    optimizer.add_param_group(own)
    scheduler.step()
    assert scheduler.get_last_restart_every() == [3, 20, 5, 20, 9]


def test_groups_keep_them_when_resumed():
    first = _groups(3, None)
    scheduler = RestartScheduler(first, [1], [10, 20])
    first.step()
    scheduler.step()
    optimizer = _groups(7, 7)
    optimizer.load_state_dict(first.state_dict())
    again = RestartScheduler(optimizer, [1], [10, 20], last_epoch=0)
    assert again.last_epoch == 1
    assert again.get_last_restart_every() == [3, 20]


def test_another_default_does_not_stop_a_resumed_schedule():
    def make(default):
        optimizer = SRSGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, restart_every=default)
        return optimizer, RestartScheduler(optimizer, [2], [30, 60])

    first, _ = make(40)
    second, scheduler = make(30)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        second.step()
        scheduler.step()
    assert scheduler.get_last_restart_every() == [60]


def test_each_group_may_have_its_stages():
    optimizer = _groups(3, None)
    scheduler = RestartScheduler(optimizer, [1], [[1, 2], (3, None)])
    assert scheduler.get_last_restart_every() == [1, 3]
    optimizer.step()
    scheduler.step()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    scheduler.step()
    assert scheduler.get_last_restart_every() == [2, None, 7]


def test_nothing_to_schedule_is_an_error():
    with pytest.raises(ValueError, match=r"interval of its own, \[3, 5\]: pass"):
        RestartScheduler(_groups(3, 5), [1], [10, 20])


def test_leaves_the_learning_rate_alone():
    rate = torch.tensor(0.1)
    optimizer = SRSGD([torch.nn.Parameter(torch.ones(1))], lr=rate)
    scheduler = RestartScheduler(optimizer, [1], [10, 20])
    optimizer.param_groups[0]["lr"].fill_(0.25)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == scheduler.get_last_lr()[0].item() == 0.25
    assert isinstance(scheduler, LRScheduler)


def test_nags_policy_is_scheduled():
    optimizer = NAG([torch.nn.Parameter(torch.ones(1))], lr=0.1, restart="gradient")
    RestartScheduler(optimizer, [1], [10, 20])
    assert optimizer.param_groups[0]["restart"] == 10


def test_in_a_sequence_with_a_warmup():
    """Its stages count from where the sequence begins it."""
    optimizer = _optimizer()
    schedules = [LinearLR(optimizer, 0.5, total_iters=2), RestartScheduler(optimizer, [2], [3, 5])]
    sequence = SequentialLR(optimizer, schedules, milestones=[2])
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert _intervals(sequence, 6) == [3, 3, 3, 3, 5, 5]
    assert optimizer.param_groups[0]["lr"] == 0.1  # as any scheduler begins in a sequence


def test_two_in_a_sequence():
    optimizer = _optimizer()
    schedules = [RestartScheduler(optimizer, [1], [3, 5]), RestartScheduler(optimizer, [1], [8, 9])]
    sequence = SequentialLR(optimizer, schedules, milestones=[2])
    assert _intervals(sequence, 5) == [3, 5, 8, 9, 9]


def test_chained():
    optimizer = _optimizer()
    chain = ChainedScheduler(
        [RestartScheduler(optimizer, [2], [3, 5]), LinearLR(optimizer, 0.5, total_iters=2)]
    )
    for _ in range(2):
        optimizer.step()
        chain.step()
    assert optimizer.param_groups[0]["restart_every"] == 5
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.filterwarnings("ignore:.torch.jit")  # PyTorch's own import
def test_over_a_sharded_optimizer():
    from torch.distributed.optim import ZeroRedundancyOptimizer

    parameter, alone = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    sharded = ZeroRedundancyOptimizer([parameter], SRSGD, lr=0.1, weight_decay=0.3)
    optimizer = SRSGD([alone], lr=0.1, weight_decay=0.3)
    for each, p in ((sharded, parameter), (optimizer, alone)):
        scheduler = RestartScheduler(each, [2], [2, 3], restart_at_milestones=True)
        for _ in range(6):
            p.grad = p.detach().clone()
            each.step()
            scheduler.step()
    assert torch.equal(parameter, alone)
    assert sharded.optim.param_groups[0]["restart_every"] == 3
