"""ImageNet's two layouts, on small pictures."""

import random
from functools import partial

import numpy as np
import pytest
import torch

from torchmomentum.experiments.data.imagenet import (
    _crop,
    decode,
    encoded_cifar,
    imagenet,
    imagenet_part,
)
from torchmomentum.experiments.errors import UsageError

from .conftest import TRAIN, encoded

# webdataset leaves its files to be closed with the generator that reads them
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def _load(folder, **options):
    settings = {"batch_size": 8, "size": 24, "seed": 0, "workers": 2, "finish": lambda x: x}
    return imagenet(partial(imagenet_part, folder), **settings | options)


@pytest.fixture(params=["imagenet_folder", "shard_folder"])
def folder(request):
    return request.getfixturevalue(request.param)


def _all(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_an_epoch_has_every_image_once(folder, pictures):
    train, test, classes = _load(folder, batch_size=6)
    assert len(train) == 10
    images, labels = _all(train)
    assert images.shape == (60, 3, 24, 24)
    assert images.dtype == torch.uint8
    assert classes == len(set(pictures[1][:60]))
    names = sorted(set(pictures[1][:60]))
    assert sorted(labels.tolist()) == sorted(names.index(y) for y in pictures[1][:60])
    tested, test_labels = _all(test)
    assert len(tested) == len(test_labels) == 30
    assert torch.equal(tested, _all(test)[0])


def test_epochs_differ_and_are_the_same_again(folder):
    train = _load(folder)[0]
    first = _all(train)
    train.epoch = 1
    second = _all(train)
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    again = _load(folder, workers=1)[0]
    assert torch.equal(_all(again)[0], first[0])
    assert not torch.equal(_all(_load(folder, seed=1)[0])[0], first[0])


def test_goes_on_from_any_batch(folder):
    train = _load(folder)[0]
    whole = list(train)
    train.start = 4
    rest = list(train)
    assert len(rest) == len(whole) - 4
    for (x, y), (a, b) in zip(rest, whole[4:], strict=True):
        assert torch.equal(x, a)
        assert torch.equal(y, b)


def test_stopping_midway_leaves_no_thread_behind(folder):
    import threading

    before = threading.active_count()
    batches = iter(_load(folder)[0])
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_several_processes_share_out_a_batch(folder, monkeypatch):
    from torchmomentum.experiments import batches as module

    whole = list(_load(folder)[0])
    monkeypatch.setattr(module.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(module.distributed, "get_world_size", lambda group=None: 2)
    halves = []
    for rank in (0, 1):
        monkeypatch.setattr(module.distributed, "get_rank", lambda group=None, rank=rank: rank)
        halves.append(list(_load(folder)[0]))
    for (x, _), (a, _), (b, _) in zip(whole, *halves, strict=True):
        assert torch.equal(x[0::2], a)
        assert torch.equal(x[1::2], b)


def test_cifar_in_its_place(cifar_folder, pictures):
    settings = {"batch_size": 20, "size": 24, "workers": 2, "finish": lambda x: x}
    train, test, classes = imagenet(partial(encoded_cifar, cifar_folder), seed=0, **settings)
    assert (classes, len(train)) == (10, TRAIN // 20)
    images, labels = _all(train)
    assert images.shape == (TRAIN, 3, 24, 24)
    assert labels.tolist() != sorted(labels.tolist())
    assert sorted(labels.tolist()) == sorted(pictures[1][:TRAIN])
    assert sorted(_all(test)[1].tolist()) == sorted(pictures[1][TRAIN:])


def test_a_damaged_image_of_several_in_a_file_is_named(cifar_folder):
    path = cifar_folder / "cifar10" / "test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["jpeg"][arrays["offsets"][3] :] = 0
    np.savez(path, **arrays)
    settings = {"batch_size": 20, "size": 24, "workers": 2, "finish": lambda x: x}
    test = imagenet(partial(encoded_cifar, cifar_folder), seed=0, **settings)[1]
    with pytest.raises(UsageError, match=r"image 3 of test\.npz cannot be decoded"):
        list(test)


def test_limits(folder):
    train, test, _ = _load(folder, train_limit=20, test_limit=5)
    assert len(train) == 2
    assert len(_all(test)[1]) == 5


def test_a_test_takes_the_middle(pictures):
    picture = pictures[0][0].repeat(2, 0).repeat(3, 1)  # 64 high, 96 wide
    seen = decode(encoded(picture, "PNG"), 56, None, "a picture")
    middle = torch.from_numpy(picture).permute(2, 0, 1)[:, 4:60, 20:76]  # 64 is 56 * 8 / 7
    assert (seen.int() - middle.int()).abs().max() <= 1


def test_random_crops_keep_to_area_and_ratio():
    drawn = random.Random(0)
    for _ in range(300):
        left, top, right, bottom = _crop(90, 60, drawn)
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 60
        area, ratio = (right - left) * (bottom - top), (right - left) / (bottom - top)
        assert 0.07 <= area / (90 * 60) <= 1
        assert 0.7 <= ratio <= 1.45
    assert _crop(1000, 1, random.Random(0)) == (499, 0, 500, 1)  # none fits


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "imagenet" / "train-000.tar").write_bytes(b"x" * 700), "tar is damaged"),
        (lambda f: [p.unlink() for p in f.glob("imagenet/val-*")], "ImageNet is not in"),
        (lambda f: (f / "imagenet" / "val-000.tar").write_bytes(b"\0" * 10240), "no val images"),
    ],
)
def test_damaged_shards(shard_folder, damage, words):
    damage(shard_folder)
    with pytest.raises(UsageError, match=words):
        _load(shard_folder)


def test_a_damaged_image_is_named(imagenet_folder):
    path = next((imagenet_folder / "imagenet" / "train").glob("*/*.JPEG"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=f"{path.name} cannot be decoded"):
        list(_load(imagenet_folder, batch_size=6)[0])


def test_classes_are_numbered_by_the_training_images(imagenet_folder):
    root = imagenet_folder / "imagenet"
    first, *others = sorted(root.glob("val/*"))
    for path in first.iterdir():
        path.unlink()
    first.rmdir()
    names = sorted(path.name for path in root.glob("train/*"))
    expected = [names.index(path.parent.name) for path in sorted(root.glob("val/*/*"))]
    assert sorted(_all(_load(imagenet_folder)[1])[1].tolist()) == sorted(expected)
    others[0].rename(others[0].with_name("unknown"))
    with pytest.raises(UsageError, match="unknown is no class of the training images"):
        _load(imagenet_folder)


def test_missing_images(tmp_path):
    with pytest.raises(UsageError, match=r"place train/CLASS/\*.JPEG or train-\*.tar there"):
        _load(tmp_path)


def test_batches_larger_than_the_data(imagenet_folder):
    with pytest.raises(UsageError, match="at most the 60 training images, got 61"):
        _load(imagenet_folder, batch_size=61)
