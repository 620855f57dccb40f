"""ImageNet's two layouts, on small pictures."""

import io
import random
import tarfile
from functools import partial

import numpy as np
import pytest
import torch

from torchmomentum.experiments.data.crops import decode, random_crop
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.data.samples import encoded_cifar
from torchmomentum.experiments.data.streams import image_streams
from torchmomentum.experiments.errors import UsageError

from ..conftest import TRAIN, encoded, write_jpegs

# webdataset leaves its files to be closed with the generator that reads them
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def _load(folder, **options):
    settings = {"batch_size": 8, "size": 24, "seed": 0, "workers": 2, "finish": lambda x: x}
    return image_streams(partial(imagenet_part, folder), **settings | options)


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


def _grey(label):
    return label * 25 + 10


def _write_folder(root, part, chosen):
    for number, label in enumerate(chosen):
        place = root / part / f"n{label:03d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(encoded(_plain(label), "PNG"))


def _write_shards(root, part, chosen):
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(3):
        with tarfile.open(root / f"{part}-{shard}.tar", "w") as file:
            for number, label in list(enumerate(chosen))[shard::3]:
                # the class stands before the image or behind it
                content = {"cls": str(label).encode(), "png": encoded(_plain(label), "PNG")}
                for ending in sorted(content, reverse=bool(number % 2)):
                    member = tarfile.TarInfo(f"{number:05d}.{ending}")
                    member.size = len(content[ending])
                    file.addfile(member, io.BytesIO(content[ending]))


def _plain(label):
    return np.full((40, 30, 3), _grey(label), np.uint8)


def _write_cifar(root, part, chosen):
    pictures = np.stack([_plain(label)[:32, :30] for label in chosen])
    write_jpegs(root.parent, {"train": "train", "val": "test"}[part], pictures, chosen)


@pytest.fixture(params=[_write_folder, _write_shards, _write_cifar])
def plain(request, tmp_path):
    """Streams of pictures of one grey each, wherever cropped: it tells the label."""
    drawn = np.random.default_rng(7)
    for part, count in (("train", 63), ("val", 25)):
        labels = [*range(10), *drawn.integers(0, 10, count - 10).tolist()]
        request.param(tmp_path / "imagenet", part, labels)
    find = encoded_cifar if request.param is _write_cifar else imagenet_part

    def load(**options):
        settings = {"batch_size": 8, "size": 16, "seed": 2, "workers": 3, "finish": lambda x: x}
        return image_streams(partial(find, tmp_path), **settings | options)

    return load


def _told_labels(images):
    assert (images.amax((1, 2, 3)) - images.amin((1, 2, 3)) <= 1).all()
    return ((images[:, 0, 0, 0].float() - 10) / 25).round().long()


@pytest.mark.parametrize("limit", [None, 40])
def test_each_picture_keeps_its_label(plain, limit):
    train, test, classes = plain(train_limit=limit, test_limit=limit and 9)
    assert classes == 10
    for train.epoch, train.start in ((0, 0), (1, 0), (1, 3), (2, 1)):
        count = (limit or 63) // 8 - train.start
        images, labels = _all(train)
        assert len(images) == 8 * count
        assert len({*labels.tolist()}) > 5
        assert torch.equal(_told_labels(images), labels)
    images, labels = _all(test)
    assert len(images) == (9 if limit else 25)
    assert torch.equal(_told_labels(images), labels)


def test_each_process_gets_its_labels(plain, monkeypatch):
    from torchmomentum.experiments.data import batches as module

    whole = [labels for _, labels in plain()[0]]
    monkeypatch.setattr(module.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(module.distributed, "get_world_size", lambda group=None: 2)
    for rank in (0, 1):
        monkeypatch.setattr(module.distributed, "get_rank", lambda group=None, rank=rank: rank)
        train, test, _ = plain()
        for labels, (images, given) in zip(whole, train, strict=True):
            assert torch.equal(given, labels[rank::2])
            assert torch.equal(_told_labels(images), given)
        assert len(_all(test)[1]) == 25  # every process tests on all


def test_a_picture_is_cropped_anew_each_epoch(tmp_path):
    """Of one picture whose colours tell the column, the crop and the mirroring can be read."""
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    for part in ("train", "val"):
        place = tmp_path / "imagenet" / part / "n000"
        place.mkdir(parents=True)
        for number in range(4):
            (place / f"{number}.png").write_bytes(encoded(ramp, "PNG"))
    train, _, _ = _load(tmp_path, batch_size=4, size=16)
    seen = []
    for train.epoch in range(150):
        images, _ = _all(train)
        seen += [(int(x[0, 0, 0]), int(x[0, 0, -1])) for x in images]
    assert len({*seen}) > 400  # of 600
    mirrored = sum(left > right for left, right in seen)
    assert abs(mirrored - 300) < 5 * 150**0.5  # five standard deviations
    one, other = (_all(_load(tmp_path, batch_size=4, size=16, seed=k)[0])[0] for k in (1, 2))
    assert not torch.equal(one, other)  # four pictures that are the same in any order


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
    from torchmomentum.experiments.data import batches as module

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
    train, test, classes = image_streams(partial(encoded_cifar, cifar_folder), seed=0, **settings)
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
    test = image_streams(partial(encoded_cifar, cifar_folder), seed=0, **settings)[1]
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


def test_mirroring_is_independent_of_the_crop():
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    content = encoded(ramp, "PNG")
    ends = [decode(content, 8, str(seed), "ramp")[0, 0, [0, -1]].int() for seed in range(1500)]
    left, right = torch.stack(ends).unbind(-1)
    mirrored, narrow = left > right, (left - right).abs() < 155
    assert 0.3 < narrow.double().mean() < 0.7
    for chosen in (narrow, ~narrow):
        part = mirrored[chosen].double()
        assert abs(part.mean() - 0.5) < 5 * 0.5 / len(part) ** 0.5


def test_random_crops_keep_to_area_and_ratio():
    drawn = random.Random(0)
    for _ in range(300):
        left, top, right, bottom = random_crop(90, 60, drawn)
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 60
        area, ratio = (right - left) * (bottom - top), (right - left) / (bottom - top)
        assert 0.07 <= area / (90 * 60) <= 1
        assert 0.7 <= ratio <= 1.45
    assert random_crop(1000, 1, random.Random(0)) == (499, 0, 500, 1)  # none fits


def test_random_crops_are_uniform():
    """Areas, logarithms of ratios and places, at uneven parts of their ranges."""
    drawn, side = random.Random(3), 1000
    boxes = torch.tensor([random_crop(side, side, drawn) for _ in range(6000)]).double()
    left, top, right, bottom = boxes.unbind(-1)
    width, height = right - left, bottom - top
    area, shape = width * height / side**2, (width / height).log()

    def part(condition, expected):
        condition = condition.double()
        sigma = (expected * (1 - expected) / len(condition)) ** 0.5
        assert abs(condition.mean() - expected) < 5 * sigma

    small = area < 0.5  # of these none is drawn again
    part(area[small] < 0.08 + 0.42 / 3, 1 / 3)
    part(area[small] < 0.08 + 0.42 / 5, 1 / 5)
    part(shape[small] < torch.tensor(0.75).log() / 2, 1 / 4)
    part(shape[small] > 0, 1 / 2)
    part(left[small] / (side - width[small]) < 0.25, 1 / 4)
    part(top[small] / (side - height[small]) < 0.7, 7 / 10)
    both = (left / (side - width) < 0.25) & (top / (side - height) < 0.3)
    part(both[small], 0.075)


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
