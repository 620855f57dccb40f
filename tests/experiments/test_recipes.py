"""Recipes: put together from tasks, models and what the user changed."""

from pathlib import Path

import pytest

from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.models import model_names, parts_of
from torchmomentum.experiments.registry import RULES, STUDIES
from torchmomentum.experiments.studies.compare import (
    CONTROLS,
    comparison,
    expand,
    named,
    with_controls,
)
from torchmomentum.experiments.studies.run import load_results
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.study import SCALES, Scale, Study

RESULTS = Path(__file__).parents[2] / "results"
SEQUENCES = ("digits", "pdigits", "mnist", "pmnist", "adding", "copying", "selective-copying")


def _recipe(task, model, scale="desk", seed=0, **changes):
    return training_recipe({"task": task, "model": model, "scale": scale, **changes}, seed)


def test_every_model_has_a_recipe_for_every_task():
    for task in SEQUENCES:
        for scale in SCALES:
            for model in model_names():
                if model.endswith("resnet"):
                    continue
                recipe = _recipe(task, model, scale)
                rule = parts_of(model)[0]
                papers = rule in RULES and rule not in CONTROLS
                assert bool(recipe.model_options.get("rule")) == papers


def test_seeds_are_independent():
    recipe = _recipe("pdigits", "lstm", seed=4, order_seed=7)
    assert (recipe.order_seed, recipe.init_seed) == (7, 4)
    assert recipe.task_options["permutation_seed"] == 0


def test_the_order_of_permuted_pixels_is_part_of_the_recipe():
    for task in ("pdigits", "pmnist"):
        keys = [_recipe(task, "lstm", permutation_seed=seed).key for seed in (0, 3)]
        assert keys[0] == _recipe(task, "lstm").key != keys[1]


def test_steps_become_epochs_of_a_generated_task():
    recipe = _recipe("adding", "lstm", steps=600)
    assert (recipe.epochs, recipe.task_options["steps_per_epoch"]) == (6, 100)
    short = _recipe("adding", "lstm", steps=30)
    assert (short.epochs, short.task_options["steps_per_epoch"]) == (1, 30)


def test_settings_reach_their_part():
    recipe = _recipe(
        "adding", "adam-gru", hidden_size=7, length=9, lr=0.5, clip=2.0, mu=0.25, beta=0.5, eps=1e-3
    )
    assert recipe.model_options["hidden_size"] == 7
    assert recipe.model_options["rule"] == {"mu": 0.25, "step_size": 2.0, "beta": 0.5, "eps": 1e-3}
    assert recipe.task_options["length"] == 9
    assert recipe.optimizer_options == {"lr": 0.5}
    assert recipe.clip == 2.0


def test_options_behind_a_name_are_of_that_model_alone():
    recipe = _recipe("pdigits", "momentum-lstm@mu=0.3@hidden_size=5")
    assert recipe.model == "momentum-lstm"
    assert recipe.model_options["rule"]["mu"] == 0.3
    assert recipe.model_options["hidden_size"] == 5


def test_none_is_a_value_like_others():
    assert _recipe("pdigits", "lstm").clip == 1.0
    for recipe in (_recipe("pdigits", "lstm", clip=None), _recipe("pdigits", "lstm@clip=none")):
        assert recipe.clip is None
    assert _recipe("pdigits", "lstm", "smoke", train_limit=None).task_options["train_limit"] is None


def test_shared_options_are_for_those_that_have_them():
    recipe = _recipe("pdigits", "lstm", mu=0.5, shared=("mu",))
    assert "rule" not in recipe.model_options
    with pytest.raises(UsageError, match="lstm has no mu"):
        _recipe("pdigits", "lstm", mu=0.5)


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("pdigit", "lstm"), {}, "unknown task 'pdigit'; did you mean pdigits, digits"),
        (("digits", "ltsm"), {}, "unknown model 'ltsm'; did you mean lstm"),
        (("digits", "lstm"), {"mu": 0.5}, "lstm has no mu; it has: hidden_size, init, forget_bias"),
        (("digits", "sr-lstm"), {"beta": 0.5}, "sr-lstm has no beta; it has: hidden_size"),
        (("digits", "lstm"), {"lr": 0.0}, "lr must be positive and finite, got 0.0"),
        (("digits", "lstm"), {"lr": float("nan")}, "lr must be positive and finite, got nan"),
        (("digits", "lstm"), {"epochs": 0}, "epochs must be at least 1, got 0"),
        (("digits", "lstm"), {"init_seed": -1}, "init_seed must be in"),
        (("digits", "lstm"), {"optimizer": "adma"}, "unknown optimizer 'adma'; did you mean adam"),
        (
            ("digits", "lstm"),
            {"steps": 10},
            "steps is for tasks whose data is generated, not for digits",
        ),
        (("adding", "lstm"), {"steps": 150}, "steps must be a multiple of 100, got 150"),
        (("digits", "lstm"), {"length": 10}, "lstm has no length"),
        (("digits", "lstm", "big"), {}, "unknown scale 'big'"),
        (("digits", "lstm"), {"lr": None}, "lr must not be None"),
        (("digits", "lstm"), {"device": None}, "device must not be None"),
        (("digits", "lstm"), {"optimizer": None}, "optimizer must not be None"),
        (("digits", "lstm@epochs=none"), {}, "epochs must not be None"),
        (("mnist", "lstm"), {"held_out": None}, "held_out must not be None"),
        (
            ("mnist", "lstm"),
            {"permutation_seed": 3},
            "must be 0 where pixels are not permuted, got 3",
        ),
        (
            ("digits", "lstm"),
            {"permutation_seed": 3},
            "must be 0 where pixels are not permuted, got 3",
        ),
        (("cifar10-pixels", "lru"), {"permutation_seed": 3}, "must be 0 where pixels are not"),
        (
            ("pmnist", "lstm", "paper"),
            {"permutation_seed": 3},
            "permutation_seed must be 0 with permutation",
        ),
        (("adding", "lstm"), {"steps": None}, "steps must not be None"),
    ],
)
def test_wrong_values_are_one_clear_line(arguments, changes, message):
    with pytest.raises(UsageError) as error:
        _recipe(*arguments, **changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_of_hyperparameters_make_models():
    given = {"lstm": "lstm", "low": "adam-lstm", "adam-lstm@mu=0.5": "adam-lstm@mu=0.5"}
    models = expand(given, {"mu": [0.1, 0.2], "beta": [0.9]})
    assert models == {
        "lstm": "lstm",
        "low@mu=0.1@beta=0.9": "adam-lstm@mu=0.1@beta=0.9",
        "low@mu=0.2@beta=0.9": "adam-lstm@mu=0.2@beta=0.9",
        "adam-lstm@mu=0.5@beta=0.9": "adam-lstm@mu=0.5@beta=0.9",
    }
    _, runs = comparison("pdigits", models, seeds=2)
    assert [run.arm["model"] for run in runs] == [*models] * 2
    assert [run.recipe.model_options["rule"]["mu"] for run in runs[1:4]] == [0.1, 0.2, 0.5]
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4
    assert {run.recipe.model for run in runs} == {"lstm", "adam-lstm"}
    assert (
        runs[1].recipe.key
        == comparison("pdigits", named([models["low@mu=0.1@beta=0.9"]]))[1][0].recipe.key
    )
    with pytest.raises(UsageError, match="none of lstm has mu"):
        expand({"lstm": "lstm"}, {"mu": [0.1]})
    with pytest.raises(UsageError, match="models lists gru twice"):
        named(["lstm", "gru", "gru"])


def test_controls_are_one_word_away():
    models = with_controls({"mine": "my.py:Model", "gru": "gru", "adam-lstm": "adam-lstm"})
    del models["mine"]
    assert [*models.values()][2:] == [f"{control}-gru" for control in CONTROLS]
    with pytest.raises(UsageError, match="controls are of a cell, and none of a, b has one"):
        with_controls({"a": "a", "b": "b"})
    _, runs = comparison("pdigits", models, seeds=1)
    assert len({run.recipe.key for run in runs}) == len(models)


def test_a_study_is_all_combinations_on_its_axes():
    study = Study(
        name="x",
        title="",
        recipe="torchmomentum.experiments.studies.training:training_recipe",
        axes={"model": ("lstm", "gru"), "hidden_size": (4, 8)},
        settings={"task": "pdigits", "epochs": 3},
        seeds=5,
        scales={"smoke": Scale({"epochs": 1}, {"hidden_size": (2,)}, 1), "paper": Scale()},
    )
    whole = study.plan()
    assert len(whole) == 2 * 2 * 5
    assert [run.arm for run in whole[:2]] == [
        {"model": "lstm", "hidden_size": 4},
        {"model": "lstm", "hidden_size": 8},
    ]
    small = study.plan("smoke", changes={"batch_size": 7})
    assert [run.arm["model"] for run in small] == ["lstm", "gru"]
    sizes = {
        (r.recipe.epochs, r.recipe.batch_size, r.recipe.model_options["hidden_size"]) for r in small
    }
    assert sizes == {(1, 7, 2)}
    assert len(study.plan(seeds=1, axes={"model": ["rnn"]})) == 2
    with pytest.raises(UsageError, match="seeds must be at least 1, got 0"):
        study.plan(seeds=0)
    with pytest.raises(UsageError, match="unknown scale 'desk'"):
        study.plan("desk")


@pytest.mark.parametrize(
    ("folder", "task", "changes"),
    [
        ("pdigits", "pdigits", {"epochs": 40}),
        ("pdigits-scanned", "pdigits", {"epochs": 40}),
        ("selective-copying", "selective-copying", {}),
        ("adding", "adding", {"length": 100, "steps": 600}),
    ],
)
def test_recorded_comparisons_are_of_the_recipes_in_the_code(folder, task, changes):
    """A recipe that differs in any number is another run: then the results are to be made anew."""
    results = load_results(RESULTS / folder)
    study, runs = comparison(task, named(results.axes["model"]), changes={**changes, "threads": 1})
    assert [run.recipe for run in results.runs] == [run.recipe.to_dict() for run in runs]
    assert (results.metric, results.higher_is_better) == (study.metric, study.higher_is_better)
    assert (results.title, results.table, results.figure) == (
        study.title,
        study.table,
        study.figure,
    )


IMAGES = ("cifar10", "cifar100", "imagenet", "fewer-epochs", "error-vs-depth")


@pytest.mark.parametrize("name", IMAGES)
def test_recorded_image_figures_are_of_the_recipes_in_the_code(name):
    results, study = load_results(RESULTS / name), STUDIES.find(name)
    runs = study.plan("desk", changes={"data": "cifar10-jpeg", "threads": 1})
    assert [run.recipe for run in results.runs] == [run.recipe.to_dict() for run in runs]
    assert [run.arm for run in results.runs] == [run.arm for run in runs]


@pytest.mark.parametrize("wrong", ["abc", 2.5, True])
def test_counts_are_whole_numbers(wrong):
    with pytest.raises(UsageError, match=f"epochs must be a whole number, got {wrong!r}"):
        training_recipe({"task": "digits", "model": "lstm", "epochs": wrong}, 0)
    if not isinstance(wrong, float):
        with pytest.raises(UsageError, match=f"lr must be a number, got {wrong!r}"):
            training_recipe({"task": "digits", "model": "lstm", "lr": wrong}, 0)


def test_the_papers_scale_has_five_seeds():
    for name, task in (("cifar10", "cifar10"), ("imagenet", "imagenet")):
        runs = STUDIES.find(name).plan("paper")
        assert {run.seed for run in runs} == set(range(5))
        assert {run.recipe.task for run in runs} == {task}


def test_mnist_at_a_desk():
    """The paper's 256 units and 150 epochs take days on two cores."""
    for task in ("mnist", "pmnist"):
        recipe = _recipe(task, "lstm")
        assert (recipe.epochs, recipe.model_options["hidden_size"]) == (2, 128)
