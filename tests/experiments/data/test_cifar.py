"""CIFAR's archives: what is in them, and what must not get out of them."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch

from torchmomentum.experiments.data import cifar
from torchmomentum.experiments.data.augment import CIFAR
from torchmomentum.experiments.data.cifar_files import ARCHIVES, NAMES, check_cifar
from torchmomentum.experiments.data.cifar_jpeg import decode_part, load_encoded
from torchmomentum.experiments.errors import UsageError

from ..conftest import write_jpegs


def _label(number):
    return number * 7 % 10


def _pixels(number):
    """A picture that tells its number: red, green and blue are it and the two after it."""
    return np.repeat(np.array([number, number + 1, number + 2], np.uint8), 1024)


def _batch(first, labels):
    numbers = range(first, first + 4)
    return {
        b"data": np.stack([_pixels(n) for n in numbers]),
        labels: [_label(n) for n in numbers],
        b"coarse_labels": [_label(n) // 2 for n in numbers],
        b"batch_label": b"a batch",
    }


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Writes an archive like the official one, and lets its checksums be the expected ones."""

    def make(name="cifar10", replace=None, packed=True):
        official = ARCHIVES[name]
        members = {
            member: pickle.dumps(_batch(4 * k, official.labels), protocol=4)
            for k, member in enumerate((*official.train, *official.test))
        }
        members |= replace or {}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as file:
            for member, content in members.items():
                info = tarfile.TarInfo(f"{official.folder}/{member}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        path = tmp_path / official.name
        path.write_bytes(out.getvalue())
        sums = {m: hashlib.md5(c, usedforsecurity=False).hexdigest() for m, c in members.items()}
        changed = official._replace(
            size=len(out.getvalue()),
            sha256=hashlib.sha256(out.getvalue()).hexdigest(),
            train={m: sums[m] for m in official.train},
            test={m: sums[m] for m in official.test},
        )
        monkeypatch.setitem(ARCHIVES, name, changed)
        if not packed:
            with tarfile.open(path) as file:
                file.extractall(tmp_path, filter="data")
            path.unlink()
        return members

    return make


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("name", "batches", "classes"), [("cifar10", 5, 10), ("cifar100", 1, 100)])
def test_reads_an_official_archive(archive, tmp_path, name, batches, classes, packed):
    archive(name, packed=packed)
    check_cifar(name, tmp_path, offline=True)
    found = cifar.load_cifar(name, tmp_path, offline=True)
    assert found.classes == classes
    assert found.train.dtype == torch.uint8
    parts = (
        (found.train, found.train_labels, range(4 * batches)),
        (found.test, found.test_labels, range(4 * batches, 4 * batches + 4)),
    )
    for pictures, labels, numbers in parts:
        expected = np.stack([_pixels(n).reshape(3, 32, 32) for n in numbers])
        assert torch.equal(pictures, torch.from_numpy(expected))
        assert labels.tolist() == [_label(n) for n in numbers]


class _Evil:
    def __reduce__(self):
        return (open, ("evil", "w"))


@pytest.mark.parametrize("packed", [True, False])
def test_what_a_pickle_calls_is_not_called(archive, tmp_path, monkeypatch, packed):
    monkeypatch.chdir(tmp_path)
    archive(replace={"data_batch_2": pickle.dumps({b"data": _Evil()})}, packed=packed)
    with pytest.raises(
        UsageError, match=r"data_batch_2 is not a batch of CIFAR: it asks for .*open"
    ):
        cifar.load_cifar("cifar10", tmp_path, offline=True)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_file_is_never_unpickled(archive, tmp_path, monkeypatch, packed):
    archive(packed=packed)
    official = ARCHIVES["cifar10"]
    path = tmp_path / (official.name if packed else f"{official.folder}/data_batch_1")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(cifar, "_unpickle", lambda *a: pytest.fail("unpickled"))
    with pytest.raises(UsageError, match="is damaged"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_is_cut_off_or_missing_is_told(archive, tmp_path, packed):
    """What is left of an archive, or an archive that was not unpacked to its end."""
    archive(packed=packed)
    official = ARCHIVES["cifar10"]
    if packed:
        path, words = tmp_path / official.name, r"is damaged: \d+ bytes, expected \d+; remove it"
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path, words = tmp_path / official.folder / "test_batch", "test_batch is missing; unpack"
        path.unlink()
    for use in (check_cifar, cifar.load_cifar):
        with pytest.raises(UsageError, match=words):
            use("cifar10", tmp_path, offline=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "it holds no data"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "not as many labels as images"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "not as many labels as images"),
        ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]}, "3071 values an image"),
        *[
            ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [label]}, "a label is not in")
            for label in (-1, 10, True, 1.0, None)
        ],
    ],
)
def test_no_batch(archive, tmp_path, content, words):
    archive(replace={"test_batch": pickle.dumps(content, protocol=4)})
    with pytest.raises(UsageError, match=f"test_batch is not a batch of CIFAR: {words}"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


def test_an_archive_is_unpacked_no_further_than_it_may_be(archive, tmp_path, monkeypatch):
    archive()
    small = ARCHIVES["cifar10"]._replace(unpacked=50_000)
    monkeypatch.setitem(ARCHIVES, "cifar10", small)
    with pytest.raises(UsageError, match=r"gz is damaged: it unpacks to more than it should hold"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


def test_an_archive_without_a_batch(archive, tmp_path, monkeypatch):
    archive()
    changed = ARCHIVES["cifar10"]._replace(test={"other": ""})
    monkeypatch.setitem(ARCHIVES, "cifar10", changed)
    with pytest.raises(UsageError, match="has no cifar-10-batches-py/other"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_says_where_it_belongs(name, tmp_path):
    with pytest.raises(UsageError, match=rf"{name} is not in .*TORCHMOMENTUM_DATA"):
        cifar.load_cifar(name, tmp_path, offline=True)


def test_the_official_checksums():
    # as Keras and torchvision have them
    ten, hundred = ARCHIVES["cifar10"], ARCHIVES["cifar100"]
    assert ten.sha256.startswith("6d958be0745778")
    assert hundred.sha256.startswith("85cd44d02ba643")
    assert (ten.size, hundred.size) == (170_498_071, 169_001_437)
    for official in (ten, hundred):
        assert all(
            len(digest) == 32 for digest in (*official.train.values(), *official.test.values())
        )


def test_each_jpeg_keeps_its_label(tmp_path):
    """Each picture is of one grey, ten apart, which JPEG keeps to within one."""
    numbers = {"train": [3, 9, 0, 7, 5, 1, 8], "test": [2, 6, 4]}
    for part, chosen in numbers.items():
        greys = np.array(chosen, np.uint8)[:, None, None, None] * 10 + 20
        write_jpegs(tmp_path, part, greys.repeat(32, 1).repeat(32, 2).repeat(3, 3), chosen)
    found = cifar.load_cifar("cifar10-jpeg", tmp_path)
    assert found.classes == 10
    for part, pictures, labels in (
        ("train", found.train, found.train_labels),
        ("test", found.test, found.test_labels),
    ):
        assert labels.tolist() == numbers[part]
        expected = (labels * 10 + 20).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
        assert pictures.shape == expected.shape
        assert (pictures.long() - expected).abs().max() <= 1


def test_jpegs_are_as_they_were_encoded(cifar_folder, pictures):
    found = cifar.load_cifar("cifar10-jpeg", cifar_folder)
    images, labels = pictures
    order = np.argsort(labels[:320], kind="stable")
    expected = torch.from_numpy(images[:320][order]).permute(0, 3, 1, 2)
    assert found.train_labels.tolist() == labels[:320][order].tolist()
    seen = found.train.float()
    loss = (seen - expected).abs().mean()  # by JPEG
    for other in (seen.flip(-1), seen.flip(-2), seen.transpose(-1, -2), seen.flip(1)):
        assert (other - expected).abs().mean() > 2 * loss


def test_labels_and_jpegs_are_as_many(tmp_path):
    write_jpegs(tmp_path, "train", np.zeros((3, 32, 32, 3), np.uint8), [1, 2])
    with pytest.raises(UsageError, match=r"train\.npz is damaged: 3 images, 2 labels"):
        load_encoded(tmp_path, "train")


@pytest.mark.parametrize("keep", [0, 40, 5000])
def test_damaged_jpegs(cifar_folder, keep):
    path = cifar_folder / "cifar10" / "test.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UsageError, match=r"test\.npz is damaged"):
        cifar.load_cifar("cifar10-jpeg", cifar_folder)


def test_jpegs_that_are_none(cifar_folder):
    path = cifar_folder / "cifar10" / "test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"jpeg": np.zeros_like(arrays["jpeg"])})
    with pytest.raises(UsageError, match=r"test\.npz is damaged: not a JPEG file"):
        cifar.load_cifar("cifar10-jpeg", cifar_folder)


def test_real_images(data_folder):
    if not (data_folder / "cifar10").is_dir():
        pytest.skip("no CIFAR-10 here")
    encoded, labels = load_encoded(data_folder, "train")
    assert len(encoded) == 50_000
    assert np.bincount(labels).tolist() == [5000] * 10
    encoded, labels = load_encoded(data_folder, "test")
    assert np.bincount(labels).tolist() == [1000] * 10
    pictures, labels = decode_part(data_folder, "test")
    # the released settings' means and deviations are those of the training images
    colours = pictures.float().transpose(0, 1).flatten(1) / 255
    torch.testing.assert_close(colours.mean(1), torch.tensor(CIFAR[0]), atol=5e-3, rtol=0)
    flat = pictures.flatten(1).float()
    means = torch.stack([flat[:8000][labels[:8000] == k].mean(0) for k in range(10)])
    guessed = torch.cdist(flat[8000:], means).argmin(1)
    assert (guessed == labels[8000:]).float().mean() > 0.2  # a tenth with labels of others


def _as_python_2_wrote_it(pixels, labels):
    """A batch in the very form of the official ones: strings of bytes, numpy's old core."""
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + minus_one * 2 + b"K\x00tb"
    shape = b"(M" + len(pixels).to_bytes(2, "little") + b"M\x00\x0ct"
    raw = b"T" + pixels.nbytes.to_bytes(4, "little") + pixels.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + listed + b"u."


def test_batches_that_python_2_wrote(archive, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 3072), dtype=np.uint8)
    archive(replace={"test_batch": _as_python_2_wrote_it(pixels, [7, 0, 9])})
    found = cifar.load_cifar("cifar10", tmp_path, offline=True)
    assert found.test.numpy().reshape(3, -1).tolist() == pixels.tolist()
    assert found.test_labels.tolist() == [7, 0, 9]
