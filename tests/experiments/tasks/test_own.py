"""A task of one's own data: loaders, lengths, targets."""

import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from torchmomentum.experiments.data.loader import LoaderStream
from torchmomentum.experiments.engine.evaluation import evaluate
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.tasks.own import OwnData

# one's own data


def _loader(count=40, features=3, classes=2, lengths=False, batch=8, shuffle=True):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, 5, features, generator=draw)
    y = (x.mean((1, 2)) > 0).long() if classes else x.mean((1, 2), keepdim=True)[:, 0]
    parts = [x, torch.arange(count) % 5 + 1, y] if lengths else [x, y]
    data = torch.utils.data.TensorDataset(*parts)
    return torch.utils.data.DataLoader(data, batch, shuffle=shuffle)


def test_own_data_says_what_it_is():
    task = OwnData(_loader(), _loader(shuffle=False))
    data = task.load(Training("x", "lstm", "adam"), None)
    assert (data.input_size, data.output_size, data.each_step) == (3, 2, False)
    assert (task.metric, task.higher_is_better) == ("accuracy", True)
    recipe = {"optimizer": "adam", "lr": 1e-3, "epochs": 10, "batch_size": 1, "clip": 1.0}
    assert task.recipe == recipe
    x, y = next(iter(data.train))
    assert x.shape == (5, 8, 3)
    assert torch.equal((x.mean((0, 2)) > 0).long(), y)
    numbers = OwnData(_loader(classes=0), _loader(classes=0)).load(Training("x", "l", "a"), None)
    assert (numbers.output_size, numbers.higher_is_better) == (1, False)
    ragged = OwnData(_loader(lengths=True), _loader(lengths=True), name="r")
    (x, lengths), y = next(iter(ragged.load(Training("x", "l", "a"), None).train))
    assert (x.shape[1], len(lengths)) == (8, 8)
    each = [(torch.randn(4, 5, 3), torch.randint(0, 7, (4, 5)))]
    steps = OwnData(each, each).load(Training("x", "l", "a"), None)
    assert (steps.each_step, steps.output_size) == (True, int(each[0][1].max()) + 1)
    assert torch.equal(steps.test[0][1], each[0][1].t())


def test_a_loader_goes_on_from_any_batch_in_its_seeds_order():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    stream = LoaderStream(_loader(), 3, lambda given: given)
    whole = [y for _, y in stream]
    stream.start = 2
    assert all(torch.equal(a, b) for (_, a), b in zip(stream, whole[2:], strict=True))
    stream.start, stream.epoch = 0, 1
    assert not all(torch.equal(a, b) for (_, a), b in zip(stream, whole, strict=True))
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's random numbers are taken


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.zeros(3), "a loader must give"),
        ((1, 2), "a loader must give tensors"),
        ((torch.zeros(1),), "got tuple of 1"),
    ],
)
def test_other_loaders_are_refused(batch, words):
    with pytest.raises(UsageError, match=words):
        OwnData([batch], [batch])
    with pytest.raises(UsageError, match="the test loader gives no batch"):
        OwnData([1], [])
    with pytest.raises(UsageError, match="the training loader gives no batch"):
        OwnData([], [1])
    with pytest.raises(UsageError, match="training loader must have a length, got generator"):
        OwnData((x for x in []), [1])


def test_the_fingerprint_is_of_the_data():
    def made(train=None, loss=None, **loader):
        return OwnData(
            _loader() if train is None else train, _loader(shuffle=False, **loader), loss=loss
        )

    batch = [(torch.zeros(2, 5, 3), torch.zeros(2).long())]
    others = [
        made(count=41),
        made(train=_loader(count=41)),
        made(train=batch),
        made(train=[(batch[0][0] + 1, batch[0][1])]),
        made(loss=lambda output, target: output.sum()),
    ]
    sizes = [made(train=torch.utils.data.DataLoader(range(n))) for n in (5, 6)]
    found = [task.fingerprint() for task in (made(), *others, *sizes)]
    assert len({*found}) == len(found)
    assert made().fingerprint() == found[0]


def _of(train):
    return OwnData(train, [(torch.zeros(2, 5, 3), torch.zeros(2))]).fingerprint()


class _Dataset(torch.utils.data.Dataset):
    """One whose samples are no tensors of its own."""

    def __init__(self, scale=1.0, transform=None, table=None):
        self.scale, self.transform, self.table, self.file = scale, transform, table, object()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.full((5, 3), self.scale * index), torch.tensor(0.0)


def _weighted(weights):
    draw = torch.utils.data.WeightedRandomSampler(weights, 8)
    return torch.utils.data.DataLoader(_Dataset(), sampler=draw)


def test_the_fingerprint_is_of_what_a_loader_draws():
    """Whatever changes the batches; and no more, so that a run that was cut off is found again."""
    load = torch.utils.data.DataLoader
    array = np.arange(3.0)
    different = [
        load(_Dataset()),
        load(_Dataset(), batch_size=2),
        load(_Dataset(), batch_size=2, drop_last=True),
        load(_Dataset(), shuffle=True),
        load(_Dataset(), collate_fn=list),
        load(_Dataset(scale=2.0)),
        load(_Dataset(transform=abs)),
        load(_Dataset(transform=lambda x: x)),
        load(_Dataset(table={"a": array})),
        load(_Dataset(table={"a": array + 1})),
        load(_Dataset(table={"a": array.astype("float32")})),
        load(_Dataset(table={"b": array})),
        load(torch.utils.data.Subset(_Dataset(), [0, 1])),
        load(torch.utils.data.Subset(_Dataset(), [0, 2])),
        load(torch.utils.data.Subset(_Dataset(scale=2.0), [0, 1])),
        _weighted([1.0, 2.0]),
        _weighted([1.0, 3.0]),
    ]
    found = [_of(loader) for loader in different]
    assert len({*found}) == len(found)

    assert _of(load(_Dataset(), num_workers=2)) == found[0]
    drawn = load(_Dataset(), generator=torch.Generator().manual_seed(3), shuffle=True)
    before = _of(drawn)
    list(drawn)
    assert _of(drawn) == before


def test_the_fingerprint_is_of_what_a_loss_holds():
    def bound(factor):
        return lambda output, target: factor * output.sum()

    class Scaled:
        def __init__(self, factor):
            self.factor = factor

        def loss(self, output, target):
            return self.factor * output.sum()

    batch = [(torch.zeros(2, 5, 3), torch.zeros(2))]
    losses = [
        nn.HuberLoss(delta=1.0),
        nn.HuberLoss(delta=2.0),
        bound(1.0),
        bound(2.0),
        partial(mse_loss, reduction="sum"),
        partial(mse_loss, reduction="mean"),
        Scaled(1.0).loss,
        Scaled(2.0).loss,
    ]
    found = [OwnData(batch, batch, loss=loss).fingerprint() for loss in losses]
    assert len({*found}) == len(found)
    assert OwnData(batch, batch, loss=nn.HuberLoss(delta=2.0)).fingerprint() == found[1]


def test_data_that_holds_itself_has_a_fingerprint():
    data = _Dataset()
    data.table = [data, {"loop": data}]
    other = _Dataset()
    other.table = [other, {"pool": other}]
    assert _of(torch.utils.data.DataLoader(data)) != _of(torch.utils.data.DataLoader(other))


def test_a_dataset_may_say_what_it_is():
    class Named(_Dataset):
        def fingerprint(self):
            return "that"

    first, second = (torch.utils.data.DataLoader(Named(scale=scale)) for scale in (1.0, 2.0))
    assert _of(first) == _of(second)


def _load(*given, **options):
    """The data of these batches, given as training, validation and test alike."""
    return OwnData([given], [given], [given], **options).load(Training("x", "l", "a"), None)


def test_a_number_for_each_sequence_is_a_regression_of_one():
    data = _load(torch.randn(4, 5, 3), torch.arange(4.0))
    (_, y), *_ = data.train
    assert (data.output_size, data.each_step, y.shape) == (1, False, (4, 1))
    output = torch.zeros(4, 1)
    assert data.loss(output, y).item() == (0 + 1 + 4 + 9) / 4
    with pytest.raises(UsageError, match=r"must have the target's shape \(4, 1\), got \(4,\)"):
        data.loss(output[:, 0], y)


def test_targets_that_may_be_of_steps_or_not_need_a_word():
    x, y = torch.randn(4, 5, 3), torch.randn(4, 5)
    with pytest.raises(UsageError, match=r"shape \(4, 5\) may be one for each step or 5 for each"):
        _load(x, y)
    steps, whole = _load(x, y, each_step=True), _load(x, y, each_step=False)
    assert (steps.output_size, steps.test[0][1].shape) == (1, (5, 4, 1))
    assert (whole.output_size, whole.test[0][1].shape) == (5, (4, 5))
    assert torch.equal(steps.test[0][1][..., 0], y.t())


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_steps_after_a_sequences_end_do_not_count(kind):
    x, lengths = torch.randn(2, 3, 1), torch.tensor([3, 1])
    y = (
        torch.tensor([[0, 1, 1], [1, 9, 9]])
        if kind == "classes"
        else torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [99.0], [99.0]]])
    )
    data = _load(x, lengths, y, output_size=10 if kind == "classes" else None)
    (inputs, target), *_ = data.train
    assert torch.equal(inputs[1], lengths)
    if kind == "classes":
        output = torch.zeros(3, 2, 10)
        output[..., 1] = 1.0
        assert data.metric(output, target).item() == 3 / 4
        logits = output[0, 0].log_softmax(0)
        expected = -(logits[0] + 3 * logits[1]) / 4
        torch.testing.assert_close(data.loss(output, target), expected)
    else:
        output = torch.zeros(3, 2, 1, requires_grad=True)
        loss = data.loss(output, target)
        assert loss.item() == (1 + 4 + 9 + 16) / 4
        loss.backward()
        assert output.grad[1:, 1].eq(0).all()


class _Constant(nn.Module):
    """The same outputs at every step."""

    def __init__(self, *outputs):
        super().__init__()
        self.outputs = torch.tensor(outputs)

    def forward(self, x, lengths):
        return self.outputs.expand(*x.shape[:2], -1)


@pytest.mark.parametrize(
    ("y", "outputs", "expected"),
    [
        ([10.0, 2.0, math.nan], [0.0], (1 * 10**2 + 9 * 2**2) / 10),
        ([0, 1, -100], [0.0, 1.0], 9 / 10),
    ],
)
def test_what_a_set_measures_does_not_depend_on_its_batches(y, outputs, expected):
    """Sequences of different lengths, and one without a target, alone and together."""
    x, lengths = torch.ones(3, 9, 1), torch.tensor([1, 9, 2])
    y = torch.tensor(y)[:, None].repeat(1, 9)
    for size in (1, 2, 3):
        parts = [*zip(x.split(size), lengths.split(size), y.split(size), strict=True)]
        task = OwnData(parts, parts, each_step=True, output_size=len(outputs))
        data = task.load(Training("x", "l", "a"), None)
        _, metric = evaluate(_Constant(*outputs), data.test, data, torch.device("cpu"))
        assert metric == pytest.approx(expected)


def test_a_class_of_the_training_data_alone_is_told():
    train = [(torch.zeros(2, 5, 3), torch.tensor([0, 4]))]
    test = [(torch.zeros(2, 5, 3), torch.tensor([0, 2]))]
    data = OwnData(train, test).load(Training("x", "l", "a"), None)
    with pytest.raises(UsageError, match="the class 4 is not among the 3 of the test data"):
        next(iter(data.train))
    assert OwnData(train, test, output_size=5).load(Training("x", "l", "a"), None).output_size == 5


def test_a_loaders_own_generator_follows_the_seed():
    x = torch.arange(40.0).view(40, 1, 1)
    data = torch.utils.data.TensorDataset(x, x[:, 0, 0].long())
    loader = torch.utils.data.DataLoader(data, 8, shuffle=True, generator=torch.Generator())
    stream = LoaderStream(loader, 3, lambda given: given)
    first, again = ([y for _, y in stream] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    stream.epoch = 1
    assert not all(torch.equal(a, b) for a, (_, b) in zip(first, stream, strict=True))


def _drawing(draw):
    """A loader whose dataset draws its numbers by a function of none."""

    class Drawn(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return torch.full((1, 1), float(draw())), torch.tensor(0)

    return torch.utils.data.DataLoader(Drawn())


def _batches(draw):
    order = torch.utils.data.RandomSampler(range(6), generator=torch.Generator())
    sampler = torch.utils.data.BatchSampler(order, 2, False)
    data = torch.utils.data.TensorDataset(torch.arange(6.0).view(6, 1, 1), torch.zeros(6).long())
    return torch.utils.data.DataLoader(data, batch_sampler=sampler)


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (_drawing, random.random),
        (_drawing, np.random.rand),
        (_drawing, partial(torch.rand, ())),
        (_batches, None),
    ],
)
def test_whatever_a_loader_draws_from_follows_the_seed(make, draw):
    def epoch(seed):
        return [
            x.flatten().tolist() for x, _ in LoaderStream(make(draw), seed, lambda given: given)
        ]

    others = random.getstate(), np.random.get_state()[1].tolist()
    assert epoch(1) == epoch(1) != epoch(2)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others


def test_a_loader_that_gives_fewer_batches_than_it_has_is_told():
    class Short(list):
        def __len__(self):
            return 3

    stream = LoaderStream(Short([1, 2]), 0, lambda given: given)
    with pytest.raises(UsageError, match="the training loader has 3 batches, it gave 2"):
        list(stream)
