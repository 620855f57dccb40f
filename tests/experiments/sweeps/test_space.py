"""What is tried of a setting: read from text, and made for a training."""

import pytest

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.sweeps.proposals import grid_of
from torchmomentum.experiments.sweeps.space import Range, Values, parse, space_of, values_of


def test_lists_and_ranges():
    found = parse(["lr=1e-4:1e-1:log", "hidden-size=16:64", "mu=0:0.9", "init=torch,paper"])
    assert found == {
        "lr": Range(1e-4, 1e-1, log=True),
        "hidden_size": Range(16, 64),
        "mu": Range(0, 0.9),
        "init": Values(("torch", "paper")),
    }
    assert [found[name].whole for name in ("lr", "hidden_size", "mu")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "what to try is NAME=X,X,... or NAME=LOW:HIGH"),
        ("=3", "what to try is NAME=X,X,..."),
        ("lr=1:0.1", "a range LOW:HIGH must rise, got 1:0.1"),
        ("lr=0:1:log", "a logarithmic range must be positive, got 0:1"),
        ("lr=0:1:linear", "a range is LOW:HIGH or LOW:HIGH:log, got 0:1:linear"),
        ("lr=a:b", "a range is LOW:HIGH or LOW:HIGH:log, got a:b"),
        ("lr=nan:1", "a range LOW:HIGH must rise, got nan:1"),
        ("lr=0.1,0.1", "values to try must differ, got 0.1, 0.1"),
        ("model=lstm,gru", "model cannot be tried: it is what the trials have in common"),
        ("seed=0:9", "seed cannot be tried"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        parse([text])


def test_a_mistake_names_the_setting():
    with pytest.raises(UsageError, match=r"what to try of lr: a range LOW:HIGH must rise"):
        parse(["mu=0.1,0.2", "lr=1:0.1"])


def test_a_real_number_is_in_no_range_of_whole_ones():
    recipe = training_recipe({"task": "pdigits", "model": "momentum-lstm", "scale": "smoke"}, 0)
    assert values_of(recipe, parse(["mu=0:1"])) == {}
    assert values_of(recipe, parse(["mu=0.0:0.9"])) == {"mu": 0.6}


def test_a_setting_is_given_once():
    with pytest.raises(UsageError, match="lr is given twice"):
        parse(["lr=1,2", "lr=3"])


def test_values_have_few_digits_but_stay_inside():
    assert Range(0.0, 1.0).rounded(0.123456) == 0.123
    assert Range(1e-4, 1e-1, log=True).rounded(0.000123456) == 0.000123
    assert Range(0.0, 0.9996).rounded(0.99955) == 0.99955
    assert Range(1, 20000).rounded(12345) == 12345


def test_a_training_is_tuned_around_its_own_values():
    settings = {"task": "pdigits", "model": "adam-lstm", "scale": "smoke", "optimizer": "srsgd"}
    recipe = training_recipe({**settings, "lr": 0.02, "beta": 0.9999}, 0)
    space = space_of(recipe, fixed=["mu"])
    assert space["lr"] == Range(0.002, 0.2, log=True)
    assert space["beta"] == Range(0.0, 0.9999)  # widened
    assert {*space} == {"lr", "beta", "step_size", "restart_every"}
    own = values_of(recipe, space)
    assert own == {
        "lr": 0.02,
        "beta": 0.9999,
        "step_size": recipe.model_options["rule"]["step_size"],
    }


def test_a_grid_is_all_combinations():
    assert grid_of(parse(["mu=0.1,0.2", "lr=1,2"])) == [
        {"mu": 0.1, "lr": 1},
        {"mu": 0.1, "lr": 2},
        {"mu": 0.2, "lr": 1},
        {"mu": 0.2, "lr": 2},
    ]
    with pytest.raises(UsageError, match="a grid needs values of mu"):
        grid_of(parse(["mu=0:0.5"]))


def test_a_range_is_widened_to_hold_a_value():
    assert Range(0.1, 10.0, log=True).holding(0.01) == Range(0.01, 10.0, log=True)
    assert Range(0.1, 10.0, log=True).holding(0.0) == Range(0.0, 10.0)
    assert Range(0.1, 10.0).holding(20.0) == Range(0.1, 20.0)
