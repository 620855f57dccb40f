"""Crops, mirroring and the batches of stored pictures, on pictures that tell where they were cut.

In a picture of 9x9 pixels the middle one of a crop is never padding: by its value it tells which
row and column of the picture it was, and its neighbour whether it was mirrored.
"""

import pytest
import torch

from torchmomentum.experiments.data import batches as batches_module
from torchmomentum.experiments.data.augment import CIFAR, IMAGENET, crop_and_flip, normalize
from torchmomentum.experiments.data.stored import Pieces, augmented
from torchmomentum.experiments.errors import UsageError

SIDE, COUNT = 9, 200


@pytest.fixture(scope="module")
def pictures():
    """``(200, 3, 9, 9)``: the picture's number from 1, the pixel's number from 1, and zeros."""
    numbers = torch.arange(1, COUNT + 1, dtype=torch.uint8).view(-1, 1, 1).expand(-1, SIDE, SIDE)
    places = torch.arange(1, SIDE**2 + 1, dtype=torch.uint8).view(SIDE, SIDE).expand_as(numbers)
    return torch.stack([numbers, places, torch.zeros_like(numbers)], 1)


def _label(number):
    return number * 7 % 10


def _numbers(seen):
    return seen[:, 0, SIDE // 2, SIDE // 2].long()


def _crops(seen):
    """Of each crop the row and column of its corner, and whether it was mirrored."""
    middle, right = (seen[:, 1, SIDE // 2, SIDE // 2 + k].long() for k in (0, 1))
    row, column = (middle - 1) // SIDE, (middle - 1) % SIDE
    mirrored = torch.where(column == 0, right == 0, right == middle - 1)
    return row, column, mirrored


def _pixels(normalized, statistics=CIFAR):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in statistics)
    return ((normalized * std + mean) * 255).round().to(torch.uint8)


def _labels():
    return _label(torch.arange(1, COUNT + 1))


def test_every_picture_is_a_crop_of_its_padded_self(pictures):
    seen = crop_and_flip(pictures, torch.Generator().manual_seed(3))
    assert seen.shape == pictures.shape
    assert seen.dtype == torch.uint8
    wide = torch.nn.functional.pad(pictures, [4] * 4)
    for picture, padded, row, column, mirrored in zip(seen, wide, *_crops(seen), strict=True):
        crop = padded[:, row : row + SIDE, column : column + SIDE]
        assert torch.equal(picture, crop.flip(-1) if mirrored else crop)


def test_crops_and_mirrors_are_uniform_and_independent(pictures):
    many = pictures[:1].expand(40_000, -1, -1, -1)
    row, column, mirrored = _crops(crop_and_flip(many, torch.Generator().manual_seed(1)))
    both = (row * 2 + mirrored) * SIDE + column
    counts = both.bincount(minlength=2 * SIDE**2).double()
    assert len(counts) == 162
    expected = 40_000 / 162
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 161 + 5 * (2 * 161) ** 0.5  # five standard deviations


def test_the_same_draws_give_the_same_pictures(pictures):
    a, b, c = (crop_and_flip(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("statistics", "grey"),
    [
        # a pixel of 128 by each colour's published mean and deviation
        (CIFAR, [0.0522, 0.0991, 0.2759]),
        (IMAGENET, [0.0741, 0.2052, 0.4265]),
    ],
)
def test_normalized_by_colour(statistics, grey):
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    images[0, :, 0, 0] = 128
    seen = normalize(images, statistics)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(_pixels(seen, statistics), images)
    torch.testing.assert_close(seen[0, :, 0, 0], torch.tensor(grey), atol=1e-4, rtol=0)


def test_each_stored_picture_keeps_its_label(pictures):
    batches = augmented(pictures, _labels(), batch_size=30, seed=4)
    assert len(batches) == 6
    for epoch in range(3):
        batches.epoch = epoch
        seen = []
        for x, y in batches:
            assert x.is_contiguous(memory_format=torch.channels_last)
            numbers = _numbers(_pixels(x))
            assert torch.equal(y, _label(numbers))
            seen += numbers.tolist()
        assert len({*seen}) == len(seen) == 180
        assert seen != sorted(seen)


def test_each_epoch_has_its_order_and_its_crops(pictures):
    batches = augmented(pictures, _labels(), batch_size=50, seed=4)
    orders, crops, mirrors = [], [], []
    for epoch in range(10):
        batches.epoch = epoch
        seen = torch.cat([_pixels(x) for x, _ in batches])
        numbers, (row, column, mirrored) = _numbers(seen), _crops(seen)
        orders.append(numbers.tolist())
        by_number = numbers.argsort()
        crops.append(((row * SIDE + column) * 2 + mirrored)[by_number])
        mirrors.append(mirrored)
    assert len({tuple(order) for order in orders}) == 10
    same = torch.stack(crops[1:]) == torch.stack(crops[:-1])
    assert same.double().mean() < 0.03  # one of 162
    # 2,000 draws: five standard deviations
    assert abs(torch.cat(mirrors).double().mean() - 0.5) < 5 * 0.5 / 2000**0.5


def _codes(pictures, seed, epoch):
    """The crop and mirroring at each position of each batch, as one number."""
    batches = augmented(pictures, _labels(), batch_size=50, seed=seed)
    batches.epoch = epoch
    parts = [_crops(_pixels(x)) for x, _ in batches]
    return torch.stack([(row * SIDE + column) * 2 + mirrored for row, column, mirrored in parts])


def test_no_two_batches_share_their_draws(pictures):
    """Neither those of another epoch or seed, nor the next one: place by place one in 162 agree."""
    codes = _codes(pictures, 4, 0)
    assert torch.equal(codes, _codes(pictures, 4, 0))
    for other in (_codes(pictures, 4, 1), _codes(pictures, 5, 0), codes.roll(1, 0)):
        assert (codes == other).double().mean() < 0.04


def test_batches_are_a_function_of_seed_epoch_and_index(pictures):
    whole, again, other = (
        augmented(pictures, _labels(), batch_size=50, seed=seed) for seed in (4, 4, 5)
    )
    whole.epoch = again.epoch = other.epoch = 3
    again.start = 2
    expected = [x for x, _ in whole]
    assert all(torch.equal(x, y) for x, (y, _) in zip(expected[2:], again, strict=True))
    assert not any(torch.equal(x, y) for x, (y, _) in zip(expected, other, strict=True))


def test_several_processes_share_out_a_batch(pictures, monkeypatch):
    batches = augmented(pictures, _labels(), batch_size=50, seed=4)
    whole = list(batches)
    monkeypatch.setattr(batches_module.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(batches_module.distributed, "get_world_size", lambda group=None: 2)
    for rank in (0, 1):
        monkeypatch.setattr(
            batches_module.distributed, "get_rank", lambda group=None, rank=rank: rank
        )
        for (x, y), (a, b) in zip(whole, batches, strict=True):
            assert torch.equal(x[rank::2], a)
            assert torch.equal(y[rank::2], b)


def test_a_limit_leaves_the_same_pictures_to_every_seed(pictures):
    kept = []
    for seed in (1, 2):
        batches = augmented(pictures, _labels(), batch_size=20, seed=seed, limit=60)
        pixels, labels = zip(*batches, strict=True)
        numbers = _numbers(_pixels(torch.cat(pixels)))
        assert torch.equal(torch.cat(labels), _label(numbers))
        kept.append(sorted(numbers.tolist()))
    assert kept[0] == kept[1]
    assert len({*kept[0]}) == 60
    assert max(kept[0]) > 100  # not the first ones: files may be sorted by class


@pytest.mark.parametrize("limit", [None, 70])
def test_test_pictures_are_whole_and_keep_their_labels(pictures, limit):
    pieces = Pieces(pictures, _labels(), limit=limit, size=64)
    seen, labels = (torch.cat(part) for part in zip(*pieces, strict=True))
    assert len(seen) == (limit or COUNT)
    pixels = _pixels(seen)
    numbers = _numbers(pixels)
    assert len(numbers.unique()) == len(numbers)
    assert torch.equal(labels, _label(numbers))
    assert torch.equal(pixels, pictures[numbers - 1])
    assert torch.equal(seen, torch.cat([x for x, _ in pieces]))


def test_batches_larger_than_the_data(pictures):
    with pytest.raises(UsageError, match="at most the 200 training images, got 201"):
        augmented(pictures, _labels(), batch_size=201, seed=0)
