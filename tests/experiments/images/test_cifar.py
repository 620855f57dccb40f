"""CIFAR's archives: what is in them, and what must not get out of them."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch

from torchmomentum.experiments.data import cifar
from torchmomentum.experiments.errors import UsageError


def _batch(rng, count, labels):
    return {
        b"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        labels: rng.integers(0, 10, count).tolist(),
        b"batch_label": b"a batch",
    }


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Writes an archive like the official one, and lets its checksums be the expected ones."""
    rng = np.random.default_rng(0)

    def make(name="cifar10", replace=None, packed=True):
        official = cifar.ARCHIVES[name]
        members = {
            member: pickle.dumps(_batch(rng, 4, official.labels), protocol=4)
            for member in (*official.train, *official.test)
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
            sha256=hashlib.sha256(out.getvalue()).hexdigest(),
            train={m: sums[m] for m in official.train},
            test={m: sums[m] for m in official.test},
        )
        monkeypatch.setitem(cifar.ARCHIVES, name, changed)
        if not packed:
            with tarfile.open(path) as file:
                file.extractall(tmp_path, filter="data")
            path.unlink()
        return members

    return make


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("name", "batches", "classes"), [("cifar10", 5, 10), ("cifar100", 1, 100)])
def test_reads_an_official_archive(archive, tmp_path, name, batches, classes, packed):
    members = archive(name, packed=packed)
    found = cifar.load_cifar(name, tmp_path, offline=True)
    assert found.train.shape == (4 * batches, 3, 32, 32)
    assert found.test.shape == (4, 3, 32, 32)
    assert found.train.dtype == torch.uint8
    assert found.classes == classes
    first = pickle.loads(members[next(iter(cifar.ARCHIVES[name].train))])
    assert found.train[0].flatten().tolist() == first[b"data"][0].tolist()
    assert found.train_labels[:4].tolist() == first[cifar.ARCHIVES[name].labels]


class _Evil:
    def __reduce__(self):
        return (open, ("evil", "w"))


@pytest.mark.parametrize("packed", [True, False])
def test_what_a_pickle_calls_is_not_called(archive, tmp_path, monkeypatch, packed):
    monkeypatch.chdir(tmp_path)
    archive(replace={"data_batch_2": pickle.dumps({b"data": _Evil()})}, packed=packed)
    with pytest.raises(UsageError, match=r"data_batch_2 is no batch of CIFAR: it asks for .*open"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_file_is_never_unpickled(archive, tmp_path, monkeypatch, packed):
    archive(packed=packed)
    official = cifar.ARCHIVES["cifar10"]
    path = tmp_path / (official.name if packed else f"{official.folder}/data_batch_1")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(cifar, "_unpickle", lambda *a: pytest.fail("unpickled"))
    with pytest.raises(UsageError, match="is damaged"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


def test_no_batch(archive, tmp_path):
    archive(replace={"test_batch": pickle.dumps([1, 2])})
    with pytest.raises(UsageError, match="test_batch is no batch of CIFAR: it holds no data"):
        cifar.load_cifar("cifar10", tmp_path, offline=True)


@pytest.mark.parametrize("name", cifar.NAMES)
def test_missing_data_says_where_it_belongs(name, tmp_path):
    with pytest.raises(UsageError, match=rf"{name} is not in .*TORCHMOMENTUM_DATA"):
        cifar.load_cifar(name, tmp_path, offline=True)


def test_the_official_checksums():
    # as Keras and torchvision have them
    ten, hundred = cifar.ARCHIVES["cifar10"], cifar.ARCHIVES["cifar100"]
    assert ten.sha256.startswith("6d958be0745778")
    assert hundred.sha256.startswith("85cd44d02ba643")
    for official in (ten, hundred):
        assert all(
            len(digest) == 32 for digest in (*official.train.values(), *official.test.values())
        )


def test_jpegs(cifar_folder, pictures):
    found = cifar.load_cifar("cifar10-jpeg", cifar_folder)
    images, labels = pictures
    assert found.train.shape == (320, 3, 32, 32)
    assert sorted(found.train_labels.tolist()) == sorted(labels[:320].tolist())
    mean = images[:320].mean((0, 1, 2))
    assert np.abs(found.train.double().mean((0, 2, 3)).numpy() - mean).max() < 2


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
    with pytest.raises(UsageError, match=r"test\.npz is damaged: cannot identify"):
        cifar.load_cifar("cifar10-jpeg", cifar_folder)


def test_real_images(data_folder):
    if not (data_folder / "cifar10").is_dir():
        pytest.skip("no CIFAR-10 here")
    found = cifar.load_cifar("cifar10-jpeg", data_folder)
    assert found.train.shape == (50_000, 3, 32, 32)
    assert found.test_labels.bincount().tolist() == [1000] * 10
    # the released settings' means are those of these images
    means = found.train.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]), atol=5e-4, rtol=0)


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
