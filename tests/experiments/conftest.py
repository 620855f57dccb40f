"""Small data sets in the layouts of the large ones, of the digits that scikit-learn ships."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

TRAIN, TEST = 320, 100


@pytest.fixture(scope="session")
def pictures():
    """Digits as 32x32 colour pictures ``(N, 32, 32, 3)``, and their labels, sorted by class."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rows = np.sort(np.random.default_rng(0).permutation(len(x))[: TRAIN + TEST])
    gray = (x[rows].reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
    wide = gray.repeat(4, 1).repeat(4, 2)
    return np.stack([wide, 255 - wide, wide // 2], -1), y[rows]


def encoded(picture, kind="JPEG"):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def write_jpegs(folder, part, images, labels):
    """Writes ``folder/cifar10/PART.npz`` of images ``(N, H, W, 3)``."""
    (folder / "cifar10").mkdir(parents=True, exist_ok=True)
    files = [encoded(picture) for picture in images]
    np.savez(
        folder / "cifar10" / f"{part}.npz",
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offsets=np.cumsum([0, *map(len, files)]),
        labels=np.asarray(labels, np.uint8),
    )


@pytest.fixture
def cifar_folder(tmp_path, pictures):
    """A data folder with ``cifar10/train.npz`` and ``test.npz``."""
    folder = tmp_path / "data"
    images, labels = pictures
    for name, rows in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
        order = np.argsort(labels[rows], kind="stable")
        write_jpegs(folder, name, images[rows][order], labels[rows][order])
    return folder


@pytest.fixture
def imagenet_folder(tmp_path, pictures):
    """A data folder with ``imagenet/train/CLASS/*.JPEG`` and ``val``."""
    folder = tmp_path / "data"
    images, labels = pictures
    for name, rows in (("train", slice(60)), ("val", slice(60, 90))):
        for number, (picture, label) in enumerate(zip(images[rows], labels[rows], strict=True)):
            place = folder / "imagenet" / name / f"n{label:03d}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.JPEG").write_bytes(encoded(picture))
    return folder


@pytest.fixture
def shard_folder(tmp_path, pictures):
    """A data folder with ``imagenet/train-*.tar`` and ``val-*.tar``."""
    folder = tmp_path / "data"
    (folder / "imagenet").mkdir(parents=True)
    images, labels = pictures
    for name, first, count in (("train-000", 0, 35), ("train-001", 35, 25), ("val-000", 60, 30)):
        with tarfile.open(folder / "imagenet" / f"{name}.tar", "w") as file:
            for k in range(first, first + count):
                for ending, content in (
                    ("jpg", encoded(images[k])),
                    ("cls", str(labels[k]).encode()),
                ):
                    member = tarfile.TarInfo(f"{k:05d}.{ending}")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
    return folder
