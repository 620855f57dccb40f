"""Checks of arguments: what they let through, and what they say."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from torchmomentum._checks import (
    check_bool,
    check_choice,
    check_integer,
    check_number,
    check_tensors,
)
from torchmomentum.ops import Modifiers


@pytest.mark.parametrize("wrong", [True, "0.5", None, torch.tensor(0.5)])
def test_a_number_is_a_number(wrong):
    with pytest.raises(TypeError, match=f"x must be a number, got {type(wrong).__name__}"):
        check_number("x", wrong, 0.0, 1.0)


def test_a_number_is_in_its_range():
    assert check_number("x", 0, 0.0, 1.0) == 0.0
    for right in (0, np.float32(0.5), Fraction(1, 2)):
        assert type(check_number("x", right, 0.0, 1.0)) is float
    for wrong in (-0.1, 1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"x must be in \[0, 1\), got {wrong}"):
            check_number("x", wrong, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"x must be in \(0, 1\), got 0"):
        check_number("x", 0, 0.0, 1.0, open_low=True)
    assert check_number("x", 0.5, 0.0, 1.0, open_low=True) == 0.5


def test_the_upper_end_may_be_in_the_range():
    assert check_number("x", 1, 0.0, 1.0, closed_high=True) == 1.0
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=rf"x must be in \[0, 1\], got {wrong}"):
            check_number("x", wrong, 0.0, 1.0, closed_high=True)


def test_an_integer_is_whole_and_at_least_so_much():
    for right in (2, 3, np.int64(2), np.array(2)):
        found = check_integer("x", right, 2)
        assert type(found) is int
        assert found == right
    for wrong in (True, 2.0, "2", torch.tensor(2), np.array(2.7), np.array([2, 3])):
        with pytest.raises(TypeError, match=f"x must be an int, got {type(wrong).__name__}"):
            check_integer("x", wrong, 0)
    with pytest.raises(ValueError, match=r"x must be at least 2, got 1$"):
        check_integer("x", 1, 2)
    with pytest.raises(ValueError, match=r"x must be at least 2 steps, got 1$"):
        check_integer("x", 1, 2, "steps")


def test_an_optional_integer_may_be_none():
    check_integer("x", None, 1, optional=True)
    with pytest.raises(TypeError, match=r"x must be an int, got NoneType"):
        check_integer("x", None, 1)
    with pytest.raises(TypeError, match=r"x must be an int or None, got float"):
        check_integer("x", 0.5, 1, optional=True)


def test_a_bool_is_true_or_false():
    check_bool("x", False)
    with pytest.raises(TypeError, match="x must be a bool, got int"):
        check_bool("x", 1)


def test_a_choice_is_one_of_its_names():
    check_choice("x", "a", ("a", "b"))
    with pytest.raises(ValueError, match="x must be one of a, b, got 'c'"):
        check_choice("x", "c", ("a", "b"))


def test_tensors_have_their_shape_and_type():
    x, count = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)
    check_tensors(
        [("x", x, (2, 3), None), ("n", count, (2,), torch.long), ("no", None, (9,), None)],
        torch.float32,
    )
    with pytest.raises(ValueError, match=r"x must have shape \(3, 2\), got \(2, 3\)"):
        check_tensors([("x", x, (3, 2), None)], torch.float32)
    with pytest.raises(TypeError, match=r"x must be torch.float64, got torch.float32"):
        check_tensors([("x", x, (2, 3), None)], torch.float64)
    with pytest.raises(TypeError, match=r"n must be torch.int32, got torch.int64"):
        check_tensors([("n", count, (2,), torch.int32)], torch.float32)


@pytest.mark.parametrize("part", ["zoneout_h", "zoneout_c", "rate_h", "rate_c"])
def test_each_part_of_zoneout_is_zoneout(part):
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    modifiers = Modifiers(**{part: mask if part.startswith("zoneout") else 0.1})
    assert modifiers.has_zoneout()
    assert not modifiers.is_plain()
    assert not Modifiers().has_zoneout()
