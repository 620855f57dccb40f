"""The released settings, as the recipes have them."""

import pytest

from torchmomentum.experiments.engine.optimizers import Schedule
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.registry import STUDIES
from torchmomentum.experiments.studies.image_recipes import JPEG, OPTIMIZERS, scaled
from torchmomentum.experiments.studies.images import image_recipe
from torchmomentum.experiments.study import SCALES

IMAGES = "torchmomentum.experiments.studies.images"
FIGURES = [name for name in STUDIES if STUDIES.find(name).recipe.startswith(IMAGES)]


def _resolve(recipe="cifar10", optimizer="srsgd-linear", depth=20, seed=0, **options):
    return image_recipe({"recipe": recipe, "optimizer": optimizer, "depth": depth, **options}, seed)


def _plan(name, scale="desk", **options):
    return STUDIES.find(name).plan(scale, **options)


def _stages(recipe):
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.schedule.items()}
    return Schedule(**values, epochs=recipe.epochs).stages()


def test_the_last_interval_of_imagenet_fades():
    milestones, restarts = _stages(_resolve("imagenet", depth=50))
    assert milestones == [31, *range(61, 90)]
    assert restarts[:3] == [40, 80, 80]
    assert restarts[-1] == 1
    assert len(restarts) == len(milestones) + 1
    assert restarts[2:] == sorted(restarts[2:], reverse=True)
    assert _stages(_resolve("imagenet", depth=50, epochs=3))[1][-1] == 1
    assert _stages(_resolve()) == ([80, 120, 160], [30, 60, 90, 120])


def test_milestones_move_with_the_epochs():
    assert scaled((80, 120, 160), 200, 200) == (80, 120, 160)
    assert scaled((80, 90, 95), 100, 10) == (8, 9)
    assert scaled((80, 120, 160), 200, 1) == ()
    for epochs in range(1, 30):
        schedule = _resolve(epochs=epochs).schedule
        milestones = schedule["milestones"]
        assert len(schedule["restarts"]) == len(milestones) + 1
        assert all(a < b for a, b in zip((0, *milestones), milestones, strict=False))
        assert all(m < epochs for m in milestones)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("scale", SCALES)
def test_every_figure_compares_with_sgd(name, scale):
    runs = _plan(name, scale)
    assert runs[0].arm["optimizer"] == "sgd"
    assert {run.arm["optimizer"] for run in runs} <= set(OPTIMIZERS)
    for run in runs:
        assert any(
            other.arm["optimizer"] == "sgd"
            and (other.arm["depth"], other.seed) == (run.arm["depth"], run.seed)
            for other in runs
        )
    assert len({run.recipe.key for run in runs}) == len(runs)
    assert all(run.arm["epochs"] == run.recipe.epochs >= 1 for run in runs)


def test_the_seed_is_for_everything_random():
    recipe = _resolve(seed=3)
    assert (recipe.init_seed, recipe.order_seed) == (3, 3)


def test_imagenet_in_fewer_epochs_and_by_depth():
    """The short trainings of the release, depth by depth."""
    runs = [run for run in _plan("imagenet-fewer-epochs", "paper") if run.seed == 0]
    found = {(run.arm["depth"], run.arm["epochs"]) for run in runs}
    assert found == {(d, 90) for d in (50, 101, 152, 200)} | {
        (50, 80),
        (101, 80),
        (152, 75),
        (200, 60),
    }
    assert {run.arm["depth"] for run in _plan("imagenet-error-vs-depth", "paper")} == {
        *(50, 101, 152, 200)
    }


def test_figures_share_runs():
    ten, fewer = ({run.recipe.key for run in _plan(n)} for n in ("cifar10", "fewer-epochs"))
    assert ten < fewer


def test_a_recipe_on_other_images():
    """Runs by two recipes on the same images share what is the same: the baseline."""
    own, by = (_plan(name, changes={"data": JPEG}) for name in ("cifar10", "cifar100"))
    assert {run.recipe.task for run in own + by} == {JPEG}
    for kind, same in (("sgd", True), ("srsgd-linear", False)):
        keys = [{r.recipe.key for r in runs if r.arm["optimizer"] == kind} for runs in (own, by)]
        assert (keys[0] == keys[1]) is same
    assert [run.recipe for run in _plan("cifar10", changes={"data": "cifar100"})] == [
        run.recipe for run in _plan("cifar100")
    ]
    sgd = _plan("imagenet", changes={"data": JPEG})[0].recipe
    assert (sgd.task, sgd.batch_size, sgd.model) == (f"imagenet-{JPEG}", 256, "resnet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"devices": 3}, "batch_size must be a multiple of the 3 devices, got 128"),
        ({"train_limit": 0}, "train_limit must be at least 1"),
        ({"recipe": "imagenet", "workers": -1}, "workers must be at least 0, got -1"),
        ({"workers": 2}, "preresnet has no workers"),
        ({"precision": "float8"}, "unknown precision"),
        ({"device": "tpu"}, "unknown device"),
        ({"recipe": "cifar11"}, "did you mean"),
        ({"optimizer": "srsgd"}, "did you mean"),
        ({"recipe": "imagenet", "optimizer": "srsgd-exponential"}, "no exponential schedule"),
    ],
)
def test_wrong_settings(options, words):
    with pytest.raises(UsageError, match=words):
        _resolve(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"changes": {"data": "imagenet"}}, "the recipe of cifar10 is not for imagenet"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"axes": {"depth": [20, 29, 20]}}, "depth lists a value twice"),
        ({"scale": "paperr"}, "did you mean paper"),
    ],
)
def test_wrong_plans(options, words):
    with pytest.raises(UsageError, match=words):
        _plan("cifar10", **options)
