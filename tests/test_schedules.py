import pytest
import torch

from torchmomentum.schedules import exponential_restarts, linear_restarts, nesterov_momentum


def test_nesterov_is_the_papers_sequence():
    # the paper: (t - 1) / (t + 2) for t = 1, 2, ...
    assert [nesterov_momentum(t - 1) for t in range(1, 6)] == [
        (t - 1) / (t + 2) for t in range(1, 6)
    ]


def test_restart_returns_to_zero():
    values = [nesterov_momentum(k, 4) for k in range(9)]
    assert values == [0.0, 1 / 4, 2 / 5, 3 / 6, 0.0, 1 / 4, 2 / 5, 3 / 6, 0.0]
    assert [nesterov_momentum(k, 1) for k in range(3)] == [0.0, 0.0, 0.0]


def test_tensors_and_numbers_agree():
    steps = torch.arange(10, dtype=torch.float64)
    expected = [nesterov_momentum(k, 3) for k in range(10)]
    assert nesterov_momentum(steps, 3).tolist() == expected


def test_the_released_schedules():
    assert linear_restarts(30, 30, 4) == [30, 60, 90, 120]
    assert linear_restarts(50, 50, 4) == [50, 100, 150, 200]
    assert exponential_restarts(40, 1.25, 4) == [40, 50, 63, 78]
    assert exponential_restarts(45, 1.5, 4) == [45, 68, 101, 152]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (linear_restarts, (0, 1, 3)),
        (linear_restarts, (3, 1, 0)),
        (linear_restarts, (3, -2, 3)),
        (exponential_restarts, (3, 0.0, 3)),
        (exponential_restarts, (3, float("nan"), 3)),
        (exponential_restarts, (3, 0.1, 3)),
        (exponential_restarts, (3, float("inf"), 3)),
        (exponential_restarts, (0, 2.0, 3)),
        (exponential_restarts, (3, 2.0, 0)),
    ],
)
def test_wrong_schedules_are_refused(make, arguments):
    with pytest.raises(ValueError, match=r"must be"):
        make(*arguments)


def test_the_least_that_is_allowed():
    assert linear_restarts(1, 0, 1) == [1]
    assert linear_restarts(3, -1, 3) == [3, 2, 1]
    assert exponential_restarts(1, 1.0, 1) == [1]
    assert exponential_restarts(4, 0.5, 3) == [4, 2, 1]
    with pytest.raises(ValueError, match=r"ratio must be in \(0, inf\), got 0\.0"):
        exponential_restarts(3, 0.0, 1)
    with pytest.raises(ValueError, match=r"ratio must be in \(0, inf\), got inf"):
        exponential_restarts(3, float("inf"), 1)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (0, ValueError, "at least 1{}, got 0"),
        (2.0, TypeError, "an int, got float"),
        (True, TypeError, "an int, got bool"),
        ("3", TypeError, "an int, got str"),
    ],
)
def test_counts_are_whole_numbers_from_one_on(wrong, error, message):
    for schedule in (linear_restarts, exponential_restarts):
        with pytest.raises(error, match="first must be " + message.format(" iteration")):
            schedule(wrong, 1, 2)
        with pytest.raises(error, match="stages must be " + message.format("")):
            schedule(3, 1, wrong)
    with pytest.raises(TypeError, match="increment must be an int, got float"):
        linear_restarts(1, 1.0, 2)
    assert linear_restarts(1, 0, 1) == [1]
