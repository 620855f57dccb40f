"""Tasks mean what they say: tiny sets with known labels, and models that must reach or cannot."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from torchmomentum.experiments.data import stored
from torchmomentum.experiments.data.batches import some_of
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.data.synthetic import BLANK, START, SYMBOLS
from torchmomentum.experiments.engine.evaluation import evaluate
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks import IGNORED, Task, accuracy, error_rate, task_of
from torchmomentum.experiments.tasks import digits as digits_module
from torchmomentum.experiments.tasks import mnist as mnist_module

CPU = torch.device("cpu")


class Fixed(nn.Module):
    """A model that is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _data(task, folder, **changes):
    recipe = training_recipe({"task": task, "model": "lstm", "scale": "desk", **changes}, 0)
    return task_of(task).load(recipe, folder)


def _score(data, function, part="test"):
    return evaluate(Fixed(function), getattr(data, part), data, CPU)[1]


# pictures pixel by pixel


def _pictures(count, pixels, first):
    """Pictures that tell their label by where their one bright pixel is, and who they are."""
    labels = torch.arange(count) % 10
    x = torch.zeros(count, pixels)
    x[torch.arange(count), labels] = 1.0
    x[:, -1] = (first + torch.arange(count)) / 10_000  # an identity, far below the bright pixel
    return x, labels


@pytest.fixture(params=["digits", "pdigits", "mnist", "pmnist"])
def pictured(request, monkeypatch, tmp_path):
    """A task on such pictures: 1,437 or 6,000 to train on, 360 to test on."""
    name = request.param
    module, count, pixels, load = (
        (digits_module, 1437, 64, "load_digits")
        if "digits" in name
        else (mnist_module, 6000, 784, "load_mnist")
    )
    arrays = (*_pictures(count, pixels, 0), *_pictures(360, pixels, 9000))
    monkeypatch.setattr(module, load, lambda *_, **__: arrays)
    return name, lambda **changes: _data(name, tmp_path, **changes)


def _read_label(x, order=None):
    """The scores of a model that sees where the bright pixel is."""
    seen = x.squeeze(-1).t()  # (B, T)
    if order is not None:
        back = torch.empty_like(seen)
        back[:, order] = seen
        seen = back
    return seen[:, :10]


def _order(data, pixels):
    """The pixels' order, found from the pictures: the identity comes last before it is permuted."""
    x, y = data.test[0]
    first = {int(label): int(x[:, i, 0].argmax()) for i, label in enumerate(y[:10])}
    return [first[label] for label in range(10)]


def test_labels_are_those_of_their_pictures(pictured):
    """In training, validation and test; and the right model is right, all others are not."""
    name, load = pictured
    data = load()
    permuted = name.startswith("p")
    if not permuted:
        assert _score(data, _read_label) == 1.0
        assert _score(data, _read_label, "validation") == 1.0
        for x, y in data.train:
            assert torch.equal(_read_label(x).argmax(1), y)
    places = _order(data, None)
    assert (places == list(range(10))) is not permuted

    def read(x):  # where each label's bright pixel is, in training and test alike
        return x.squeeze(-1).t()[:, places]

    assert _score(data, read) == _score(data, read, "validation") == 1.0
    for x, y in data.train:
        assert torch.equal(read(x).argmax(1), y)
    assert _score(data, lambda x: -read(x)) == 0.0


def test_training_validation_and_test_are_apart(pictured):
    name, load = pictured
    data = load(batch_size=100)

    def identities(batches):
        return [
            round(10_000 * v) for x, _ in batches for v in x.min(0).values.flatten().tolist()
        ], [round(10_000 * float(v)) for x, _ in batches for v in _identity(x)]

    train, validation, test = (
        set(identities(batches)[1]) for batches in (data.train, data.validation, data.test)
    )
    held = 180 if "digits" in name else 5000
    assert len(validation) == held
    assert len(test) == 360
    assert min(test) >= 9000
    assert not (train & validation)
    assert max(train | validation) < 9000


def _identity(x):
    """The pixel that is neither zero nor the bright one."""
    seen = x.squeeze(-1).t()
    return torch.where(seen < 0.99, seen, torch.zeros(())).max(1).values


def test_each_epoch_has_an_order_of_its_own_and_all_samples(pictured):
    _, load = pictured
    data = load(batch_size=10, train_limit=200)
    seen = []
    for epoch in (0, 1, 0):
        data.train.epoch, data.train.start = epoch, 0
        seen.append([tuple(_identity(x).tolist()) for x, _ in data.train])
    assert seen[0] == seen[2] != seen[1]
    assert sorted(sum(seen[0], ())) == sorted(sum(seen[1], ()))
    assert len({*sum(seen[0], ())}) == 200
    other = load(batch_size=10, train_limit=200, order_seed=1)
    assert [tuple(_identity(x).tolist()) for x, _ in other.train] != seen[0]


def test_the_permutation_is_its_seeds():
    loaded = [_data("pdigits", None, permutation_seed=seed).test[0][0] for seed in (0, 0, 1)]
    assert torch.equal(loaded[0], loaded[1])
    assert not torch.equal(loaded[0], loaded[2])
    plain = _data("digits", None).test[0][0]
    assert torch.equal(loaded[0].sort(0).values, plain.sort(0).values)
    assert not torch.equal(loaded[0], plain)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="batch_size must be at most the 100 training samples"):
        _data("digits", None, train_limit=100, batch_size=101)


# generated tasks


def test_adding_is_the_sum_of_the_marked():
    data = _data("adding", None, length=30, batch_size=20, steps_per_epoch=3)
    for batches in (data.train, data.validation, data.test):
        for x, y in batches:
            assert torch.allclose((x[..., 0] * x[..., 1]).sum(0), y[:, 0])
            assert torch.equal(x[..., 1].sum(0), torch.full((x.shape[1],), 2.0))
            assert torch.equal(x[:15, :, 1].sum(0), torch.ones(x.shape[1]))
    assert _score(data, lambda x: (x[..., 0] * x[..., 1]).sum(0).unsqueeze(-1)) < 1e-12
    # the best constant has the variance of a sum of two uniforms, 1/6
    assert _score(data, lambda x: torch.ones(x.shape[1], 1)) == pytest.approx(1 / 6, abs=0.02)


def test_copying_repeats_the_first_ten():
    data = _data("copying", None, length=20, batch_size=20, steps_per_epoch=3)
    classes = data.output_size

    def copy(x):
        answer = x.argmax(-1)
        answer = torch.cat([torch.zeros_like(answer[10:]), answer[:10]])
        return 30.0 * nn.functional.one_hot(answer, classes).float()

    assert _score(data, copy) < 1e-6
    for x, y in (next(iter(data.train)), data.test[0]):
        # as Figure 8 has it: the characters, blanks, the start sign, blanks; blanks, the characters
        seen, blank, start = x.argmax(-1), 0, data.input_size - 1
        assert (seen[10:30] == blank).all()
        assert (seen[30] == start).all()
        assert (seen[31:] == blank).all()
        assert len(seen) == len(y) == 40
        assert (y[:30] == blank).all()
        assert torch.equal(y[30:], seen[:10])
        assert set(seen[:10].unique().tolist()) == set(range(1, 9))

    def blanks(x):  # knows where the ten are, and nothing of them
        scores = torch.zeros(*x.shape[:2], classes)
        scores[:-10, :, 0], scores[-10:, :, 0] = 30.0, -30.0
        return scores

    steps = 20 + 2 * 10
    assert _score(data, blanks) == pytest.approx(
        10 * torch.tensor(8.0).log().item() / steps, rel=1e-4
    )


def test_selective_copying_counts_its_last_steps():
    data = _data("selective-copying", None, length=20, batch_size=20, steps_per_epoch=3)

    def answer(x):
        tokens = x[:20].argmax(-1).T
        tokens = tokens[tokens > 0].view(-1, 16).T
        found = 30.0 * nn.functional.one_hot(tokens, data.output_size).float()
        return torch.cat([torch.full((20, *found.shape[1:]), 7.0), found])  # whatever comes before

    for x, y in (next(iter(data.train)), data.test[0], data.validation[0]):
        assert data.loss(answer(x), y) < 1e-6
        assert data.metric(answer(x), y) == 1.0
        wrong = answer(x).roll(1, -1)
        assert data.metric(wrong, y) == 0.0
        assert (y[:20] == IGNORED).all()


@pytest.mark.parametrize("task", ["adding", "copying", "selective-copying"])
def test_what_is_drawn_is_new_each_step_and_never_the_tests(task):
    data = _data(task, None, length=30, batch_size=20, steps_per_epoch=4)
    firsts = []
    for epoch in (0, 1):
        data.train.epoch = epoch
        firsts += [x[..., 0].sum().item() for x, _ in data.train]
    held = [x[..., 0].sum().item() for x, _ in (*data.validation, *data.test)]
    everything = firsts + held
    assert "copying" in task or len({*everything}) == len(everything)
    inputs = [x for x, _ in (*data.train, *data.validation, *data.test)]
    assert all(
        a.shape != b.shape or not torch.equal(a, b)
        for i, a in enumerate(inputs)
        for b in inputs[:i]
    )
    assert sum(x.shape[1] for x, _ in data.test) >= 1000


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="length must be at least 2 for adding, got 1"):
        _data("adding", None, length=1)


def test_a_rules_exception_is_of_all_its_sizes():
    class Excepted(Task):
        rules: ClassVar = {"adam": {"mu": 0.6, "beta": 0.9}}
        exceptions = (("adam", {"length": 9, "hidden_size": 5}, {"mu": 0.1}),)

    task = Excepted()
    assert task.rule_options("adam", {"length": 9, "hidden_size": 5}) == {"mu": 0.1, "beta": 0.9}
    for sizes in ({"length": 9, "hidden_size": 6}, {"length": 8, "hidden_size": 5}, {}):
        assert task.rule_options("adam", sizes) == {"mu": 0.6, "beta": 0.9}
    assert task.rule_options("momentum", {"length": 9, "hidden_size": 5}) == {}


def test_measures():
    output = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 2.0]])
    target = torch.tensor([0, 1, 1, 1])
    assert accuracy(output, target) == 0.75
    assert error_rate(output, target) == 0.25


@pytest.mark.parametrize(
    ("task", "least", "more"), [("adding", 2, 0), ("copying", 1, 20), ("selective-copying", 16, 16)]
)
def test_the_shortest_length_is_served(task, least, more):
    data = _data(task, None, length=least, batch_size=4, steps_per_epoch=1)
    assert len(data.test[0][0]) == least + more
    with pytest.raises(UsageError, match=f"length must be at least {least}"):
        _data(task, None, length=least - 1)


@pytest.mark.parametrize("task", ["digits", "pdigits", "adding", "copying", "selective-copying"])
def test_a_task_says_the_sizes_of_its_batches(task):
    data = _data(task, None, batch_size=4)
    for x, y in (next(iter(data.train)), data.test[0], data.validation[0]):
        assert x.shape[-1] == data.input_size
        output = torch.zeros(*(x.shape[:2] if data.each_step else x.shape[1:2]), data.output_size)
        assert data.loss(output, y).isfinite()
        if task == "adding":
            assert y.shape == output.shape
        else:
            assert int(y.max()) < data.output_size
    # eight symbols and a blank; fourteen tokens and noise
    classes = {"adding": 1, "copying": 9, "selective-copying": 15}
    assert data.output_size == classes.get(task, 10)


@pytest.mark.parametrize(
    "task", ["digits", "pdigits", "adding", "copying", "selective-copying", "mnist", "pmnist"]
)
def test_smoke_takes_seconds(task):
    recipe = training_recipe({"task": task, "model": "lstm", "scale": "smoke"}, 0)
    assert (recipe.epochs, recipe.model_options["hidden_size"]) == (1, 16)
    assert recipe.task_options.get("steps_per_epoch", 5) == 5


@pytest.mark.parametrize(("optimizer", "lr"), [("rmsprop", 1e-3), ("sgd", 0.1), ("adam", 1e-3)])
def test_an_optimizer_that_is_not_the_tasks_has_its_own_rate(optimizer, lr):
    given = {"task": "pdigits", "model": "lstm", "optimizer": optimizer}
    assert training_recipe(given, 0).optimizer_options["lr"] == lr
    assert training_recipe({**given, "lr": 0.5}, 0).optimizer_options["lr"] == 0.5


def test_mnist_asks_for_its_files(monkeypatch, tmp_path):
    """What the caller said of downloads reaches the loader and the check."""
    found = []
    monkeypatch.setattr(mnist_module, "load_mnist", lambda *a, **k: found.append((a, k)) or 1 / 0)
    recipe = training_recipe({"task": "mnist", "model": "lstm"}, 0)
    with pytest.raises(ZeroDivisionError):
        task_of("mnist").load(recipe, tmp_path, offline=True)
    assert found == [((tmp_path,), {"offline": True})]
    with pytest.raises(UsageError, match="mnist"):
        task_of("mnist").check_data(tmp_path, offline=True)


def test_images_are_trained_on_by_cross_entropy_and_reported_by_errors(cifar_folder):
    changes = {"model": "preresnet", "depth": 11, "batch_size": 10, "seed": 0}
    recipe = training_recipe({"task": "cifar10-jpeg", **changes}, 0)
    data = task_of("cifar10-jpeg").load(recipe, cifar_folder)
    assert (data.validation, data.batch_dim) == ([], 0)
    assert (data.loss, data.metric) == (nn.functional.cross_entropy, error_rate)
    assert (data.metric_name, data.higher_is_better) == ("error", False)
    assert (data.input_size, data.output_size) == (3, 10)
    x, y = next(iter(data.train))
    assert (x.shape, y.shape) == ((10, 3, 32, 32), (10,))


def test_cifar_pixel_by_pixel_is_grey(cifar_folder):
    sizes = {"held_out": 20, "batch_size": 10, "order_seed": 3}
    recipe = training_recipe({"task": "cifar10-jpeg-pixels", "model": "lstm", **sizes}, 0)
    data = task_of("cifar10-jpeg-pixels").load(recipe, cifar_folder)
    images = load_cifar("cifar10-jpeg", cifar_folder)
    x, y = next(iter(data.test))
    order = some_of(len(images.test), None)
    red, green, blue = images.test[order[5]].double().flatten(1) / 127.5 - 1
    expected = (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(-1).float()
    torch.testing.assert_close(x[:, 5], expected, rtol=0, atol=1e-5)
    assert torch.equal(y, images.test_labels[order][: len(y)])
    assert x.shape[::2] == (1024, 1)
    assert sum(len(labels) for _, labels in data.validation) == 20
    assert len(data.train) == (len(images.train) - 20) // 10
    recipe.task_options["test_limit"] = 30
    few = task_of("cifar10-jpeg-pixels").load(recipe, cifar_folder)
    kinds = torch.cat([labels for _, labels in few.test])
    assert len(kinds) == 30
    assert len({*kinds.tolist()}) > 5  # the file has one class after the other


def test_the_marks_of_copying_are_no_characters():
    assert BLANK not in range(1, SYMBOLS + 1)
    assert START not in (BLANK, *range(1, SYMBOLS + 1))


def test_draws_are_of_kinds_that_recorded_runs_had():
    """Others would train the recorded figures on other pictures."""
    assert (stored._ORDER, stored._AUGMENTATION) == (-5, -6)


def test_imagenets_settings_reach_its_batches(imagenet_folder):
    found = task_of("imagenet")
    options = {"size": 24, "workers": 0, "train_limit": None, "test_limit": None}
    recipe = Training("imagenet", "resnet", "sgd", task_options=options, batch_size=3)
    x, _ = next(iter(found.load(recipe, imagenet_folder).train))
    assert x.shape == (3, 3, 24, 24)
