import pytest
from torchmomentum.experiments.configuration import resolve
from torchmomentum.experiments.recipes import MODELS, PRESETS, TASKS

from torchmomentum.experiments.errors import UsageError


def test_every_model_has_a_recipe_for_every_task():
    for task in TASKS:
        for preset in PRESETS:
            for model in MODELS:
                config = resolve(task, model, preset=preset)
                assert bool(config.rule) == ("-" in model)


def test_the_papers_tables():
    """Tables 6 to 10, where two sizes or lengths differ."""
    pmnist = resolve("pmnist", "sr-lstm", preset="paper")
    assert (pmnist.lr, pmnist.batch_size, pmnist.epochs, pmnist.clip) == (1e-3, 128, 150, 1.0)
    assert pmnist.rule == {"step_size": 0.9, "restart": 40}
    small = resolve("pmnist", "sr-lstm", preset="paper", overrides={"hidden_size": 128})
    assert small.rule == {"step_size": 0.01, "restart": 6}
    assert resolve("pmnist", "adam-lstm").rule == {"mu": 0.6, "step_size": 1.0, "beta": 0.01}
    assert resolve("mnist", "rmsprop-lstm", preset="paper").rule["beta"] == 0.9
    assert resolve("mnist", "rmsprop-lstm", overrides={"hidden_size": 128}).rule["beta"] == 0.99
    adding = resolve("adding", "momentum-lstm", preset="paper")
    assert (adding.optimizer, adding.lr, adding.batch_size) == ("adam", 2e-4, 50)
    assert adding.epochs * adding.steps_per_epoch == 1200
    assert (adding.length, adding.rule) == (750, {"mu": 0.9, "step_size": 2.0})
    copying = resolve("copying", "momentum-lstm", preset="paper")
    assert copying.epochs * copying.steps_per_epoch == 7000
    assert (copying.hidden_size, copying.rule["step_size"]) == (190, 0.9)
    longer = resolve("copying", "momentum-lstm", preset="paper", overrides={"length": 2000})
    assert longer.rule == {"mu": 0.9, "step_size": 2.0}


def test_seeds_are_independent():
    config = resolve("pdigits", "lstm", seed=4, overrides={"order_seed": 7})
    assert (config.order_seed, config.init_seed, config.permutation_seed) == (7, 4, 0)


def test_steps_become_epochs_of_a_generated_task():
    config = resolve("adding", "lstm", overrides={"steps": 600})
    assert (config.epochs, config.steps_per_epoch) == (6, 100)
    short = resolve("adding", "lstm", overrides={"steps": 30})
    assert (short.epochs, short.steps_per_epoch) == (1, 30)


@pytest.mark.parametrize(
    ("arguments", "overrides", "message"),
    [
        (("pdigit", "lstm"), {}, "unknown task 'pdigit'; did you mean pdigits, digits"),
        (("digits", "ltsm"), {}, "unknown model 'ltsm'; did you mean lstm"),
        (("digits", "lstm"), {"mu": 0.5}, "lstm has no mu; it has: none"),
        (("digits", "sr-lstm"), {"beta": 0.5}, "sr-lstm has no beta; it has: step_size, restart"),
        (("digits", "lstm"), {"lr": 0.0}, "lr must be positive and finite, got 0.0"),
        (("digits", "lstm"), {"epochs": 0}, "epochs must be at least 1, got 0"),
        (("digits", "lstm"), {"init_seed": -1}, "init_seed must be in"),
        (("digits", "lstm"), {"optimizer": "adma"}, "unknown optimizer 'adma'; did you mean adam"),
        (("digits", "lstm"), {"steps": 10}, "steps fits the generated tasks only, not digits"),
        (("adding", "lstm"), {"steps": 150}, "steps must be a multiple of 100, got 150"),
        (("digits", "lstm"), {"length": 10}, "length fits adding and copying only, not digits"),
    ],
)
def test_wrong_values_are_one_clear_line(arguments, overrides, message):
    with pytest.raises(UsageError) as error:
        resolve(*arguments, overrides=overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
