"""The released settings, as the recipes have them."""

import pytest
from torchmomentum.experiments.images.figures import FIGURES, plan
from torchmomentum.experiments.images.recipes import (
    JPEG,
    OPTIMIZERS,
    SCALES,
    resolve_image,
    restart_stages,
    scaled,
)

from torchmomentum.experiments.errors import UsageError


def _resolve(task="cifar10", optimizer="srsgd-linear", depth=20, preset="paper", **options):
    return resolve_image(task, optimizer, depth=depth, preset=preset, seed=0, **options)


@pytest.mark.parametrize(
    ("task", "optimizer", "restarts"),
    [
        ("cifar10", "srsgd-linear", (30, 60, 90, 120)),
        ("cifar10", "srsgd-exponential", (40, 50, 63, 78)),
        ("cifar100", "srsgd-linear", (50, 100, 150, 200)),
        ("cifar100", "srsgd-exponential", (45, 68, 101, 152)),
        ("cifar10", "sgd", ()),
    ],
)
def test_cifar(task, optimizer, restarts):
    config = _resolve(task, optimizer)
    assert (config.epochs, config.milestones) == (200, (80, 120, 160))
    assert (config.batch_size, config.lr, config.weight_decay) == (128, 0.1, 5e-4)
    assert config.restarts == restarts
    assert config.momentum == 0.9
    assert config.restart_at_milestones
    short = _resolve(task, optimizer, short=True)
    assert (short.epochs, short.milestones) == (100, (80, 90, 95))


@pytest.mark.parametrize(
    ("depth", "epochs", "milestones"),
    [(50, 80, (31, 51)), (101, 80, (31, 56)), (152, 75, (31, 51)), (200, 60, (31, 46))],
)
def test_imagenet(depth, epochs, milestones):
    config = _resolve("imagenet", depth=depth)
    assert (config.epochs, config.milestones, config.restarts) == (90, (31, 61), (40, 80, 80))
    assert (config.batch_size, config.weight_decay) == (8 * 32, 1e-4)
    short = _resolve("imagenet", depth=depth, short=True)
    assert (short.epochs, short.milestones) == (epochs, milestones)


def test_the_last_interval_of_imagenet_fades():
    milestones, restarts = restart_stages(_resolve("imagenet", depth=50))
    assert milestones == [31, *range(61, 90)]
    assert restarts[:3] == [40, 80, 80]
    assert restarts[-1] == 1
    assert len(restarts) == len(milestones) + 1
    assert restarts[2:] == sorted(restarts[2:], reverse=True)
    assert restart_stages(_resolve("imagenet", depth=50, epochs=3))[1][-1] == 1
    assert restart_stages(_resolve()) == ([80, 120, 160], [30, 60, 90, 120])


def test_milestones_move_with_the_epochs():
    assert scaled((80, 120, 160), 200, 200) == (80, 120, 160)
    assert scaled((80, 90, 95), 100, 10) == (8, 9)
    assert scaled((80, 120, 160), 200, 1) == ()
    for epochs in range(1, 30):
        config = _resolve(epochs=epochs)
        assert len(config.restarts) == len(config.milestones) + 1
        assert all(a < b for a, b in zip((0, *config.milestones), config.milestones, strict=False))
        assert all(m < epochs for m in config.milestones)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("scale", SCALES)
def test_every_figure_compares_with_sgd(name, scale):
    configs = plan(name, scale)
    assert {c.optimizer for c in configs} <= set(OPTIMIZERS)
    for config in configs:
        assert any(
            (c.optimizer, c.depth, c.init_seed) == ("sgd", config.depth, config.init_seed)
            for c in configs
        )
    assert len({(c.model, c.init_seed) for c in configs}) == len(configs)
    assert all(c.to_dict()["epochs"] >= 1 for c in configs)


def test_figures_share_runs():
    ten = {(c.model, c.init_seed) for c in plan("cifar10", "desk")}
    fewer = {(c.model, c.init_seed) for c in plan("fewer-epochs", "desk")}
    assert ten < fewer


def test_a_recipe_on_other_images():
    """Runs by two recipes on the same images share what is the same: the baseline."""
    own, by = plan("cifar10", "desk", data=JPEG), plan("cifar100", "desk", data=JPEG)
    assert {c.task for c in own + by} == {JPEG}
    baselines = [[c for c in configs if c.optimizer == "sgd"] for configs in (own, by)]
    assert baselines[0] == baselines[1]
    models = {c.model for c in own + by if c.optimizer != "sgd"}
    assert models == {
        "srsgd-linear-depth-20-epochs-20",
        "srsgd-linear-by-cifar100-depth-20-epochs-20",
    }
    assert plan("cifar10", "desk", data="cifar100") == plan("cifar100", "desk")
    (sgd, *_) = plan("imagenet", "desk", data=JPEG)
    assert (sgd.model, sgd.batch_size) == ("sgd-by-imagenet-depth-50-epochs-10", 256)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"changes": {"batch_size": 0}}, "batch_size must be at least 1"),
        ({"changes": {"lr": 0.0}}, "lr must be positive"),
        ({"changes": {"devices": 3}}, "batch_size must be a multiple of the 3 devices, got 128"),
        ({"changes": {"train_limit": 0}}, "train_limit must be at least 1"),
        ({"changes": {"workers": -1}}, "workers must be at least 0, got -1"),
        ({"changes": {"precision": "float8"}}, "unknown precision"),
        ({"changes": {"device": "tpu"}}, "unknown device"),
        ({"task": "cifar11"}, "did you mean"),
        ({"optimizer": "srsgd"}, "did you mean"),
        ({"preset": "paperr"}, "did you mean paper"),
        ({"task": "imagenet", "optimizer": "srsgd-exponential"}, "no exponential schedule"),
    ],
)
def test_wrong_settings(options, words):
    with pytest.raises(UsageError, match=words):
        _resolve(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "imagenet"}, "cifar10 is not a figure of imagenet"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"depths": [20, 29, 20]}, "depths names one twice"),
    ],
)
def test_wrong_plans(options, words):
    with pytest.raises(UsageError, match=words):
        plan("cifar10", "desk", **options)
