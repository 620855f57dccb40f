"""MNIST's switches, on images made up for it."""

import pytest
import torch

from torchmomentum.experiments.data.mnist import pooled
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks import mnist, task_of


@pytest.fixture(autouse=True)
def images(monkeypatch):
    """Sixty images to train on and twenty to test: pixel p of image n is n + p / 1000."""

    def load(folder, *, offline):
        def made(count):
            pixels = torch.arange(784) / 1000
            return torch.arange(count)[:, None] + pixels, torch.arange(count)

        return *made(60), *made(20)

    monkeypatch.setattr(mnist, "load_mnist", load)


def _data(task, seed=0, **settings):
    settings = {"held_out": 10, "batch_size": 5, **settings}
    recipe = training_recipe({"task": task, "model": "lstm", **settings}, seed)
    return task_of(task).load(recipe, None)


def _order(data):
    """The pixel that comes at each step."""
    x, _ = data.test[0]
    return (x[:, 0, 0].frac() * 1000).round().long()


def test_all_samples_may_be_trained_on():
    for held_out in (10, 0):
        data = _data("mnist", held_out=held_out)
        assert len(data.train) == (60 - held_out) // 5
        labels = torch.cat([y for _, y in data.train])
        assert len({*labels.tolist()}) == 60 - held_out
        kept = [int(label) for _, y in data.validation for label in y]
        assert len(kept) == held_out
        assert not {*kept} & {*labels.tolist()}


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (-30, "held_out must be at least 0, got -30"),
        (2.5, "held_out must be an int, got float"),
        (True, "held_out must be an int, got bool"),
        (56, r"held_out must be in \[0, 55\], the 60 training samples less a batch, got 56"),
    ],
)
def test_what_is_held_out_leaves_a_batch(held_out, message):
    assert len(_data("mnist", held_out=55).train) == 1
    with pytest.raises(UsageError, match=message):
        _data("mnist", held_out=held_out)


def test_a_batch_of_more_than_all_samples_is_named_itself():
    with pytest.raises(UsageError, match="batch_size must be at most the 50 training samples"):
        _data("mnist", batch_size=61)


def test_the_order_is_one_for_all_seeds_or_one_for_each():
    rows = torch.arange(784)
    assert torch.equal(_order(_data("mnist", permutation_per_seed=True)), rows)
    same = [_order(_data("pmnist", seed)) for seed in (0, 1)]
    assert torch.equal(*same)
    own = [_order(_data("pmnist", seed, permutation_per_seed=True)) for seed in (0, 1, 1)]
    assert not torch.equal(own[0], own[1])
    assert torch.equal(own[1], own[2])
    for order in (*same, *own):
        assert torch.equal(order.sort().values, rows)
        assert not torch.equal(order, rows)


def test_pooled_images_are_means_of_four_pixels():
    drawn = torch.rand(3, 784)
    found = pooled(drawn)
    assert found.shape == (3, 196)
    for row, column in ((0, 0), (5, 13), (13, 2)):
        at = [drawn[:, 28 * (2 * row + i) + 2 * column + j] for i in (0, 1) for j in (0, 1)]
        torch.testing.assert_close(found[:, 14 * row + column], sum(at) / 4)
    data = _data("mnist", pooled=True)
    x, _ = next(iter(data.train))
    assert x.shape == (196, 5, 1)
    assert data.test[0][0].shape == (196, 20, 1)
