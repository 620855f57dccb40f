"""MNIST, CIFAR and ImageNet to be fuzzed."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tools.stress.hostile import (
    BOMB,
    Call,
    encoded,
    gzipped,
    member,
    npy,
    odd_images,
    pickles,
    tarred,
    tars,
    zipped,
)
from tools.stress.subjects import Spot, Subject, images_and_labels, writer
from torchmomentum.experiments.data import cifar, cifar_files, mnist, mnist_files
from torchmomentum.experiments.data.cifar_files import ARCHIVES
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.data.streams import image_streams


def _idx(shape: tuple[int, ...], content: bytes) -> bytes:
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def mnist_files_of(folder: Path) -> Subject:
    """MNIST: two files packed, two not."""
    drawn, contents = np.random.default_rng(0), {}
    for part, count in (("train", 9), ("t10k", 5)):
        pixels = drawn.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = _idx(pixels.shape, pixels.tobytes())
        contents[f"{part}-labels-idx1-ubyte"] = _idx((count,), bytes(range(count)))
    files = tuple(
        file._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for file in mnist_files.FILES
        for content in (contents[file.name],)
    )
    spots = {}
    for name, content in contents.items():
        path = folder / "mnist" / (f"{name}.gz" if "train" in name else name)
        pack = gzipped if "train" in name else bytes
        spots[name] = Spot(content, writer(path, pack))
        if "train" in name:
            spots[f"{name}.gz"] = Spot(gzipped(content), writer(path))
    images = "train-images-idx3-ubyte"
    headers = [(2**32 - 1,) * 3, (2**31,) * 2, (0, 4, 5), (1,) * 255, (), (180,)]
    return Subject(
        spots,
        lambda: mnist.load_mnist(folder, offline=True),
        images_and_labels(10),
        hostile=[
            (f"{images}.gz", BOMB),
            (f"{images}.gz", gzipped(b"") * 1000),
            *[(images, _idx(shape, contents[images][16:])) for shape in headers],
        ],
        settings=[(mnist, "FILES", files), (mnist_files, "FILES", files)],
        checks=[(mnist, "verify_sha256"), (mnist_files, "verify_size")],
    )


def _batch(number: int, protocol: int = 4) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (2, 3072), dtype=np.uint8)
    found = {b"data": pixels, b"labels": [number, 9], b"batch_label": b"a batch"}
    return pickle.dumps(found, protocol)


def _old_batch() -> bytes:
    """As Python 2 wrote it."""
    pixels = bytes(range(256)) * 24
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02"
    )
    array += b"M\x00\x0c\x86" + dtype + b"K\x00tb\x89T" + len(pixels).to_bytes(4, "little")
    return b"\x80\x02}q\x01(U\x04data" + array + pixels + b"tbU\x06labels](K\x03K\x07eu."


def _of_archive(archive: Any) -> list[tuple[Any, str, Any]]:
    return [(module, "ARCHIVES", {"cifar10": archive}) for module in (cifar_files, cifar)]


def cifar_archive(folder: Path) -> Subject:
    """CIFAR-10's archive: damaged as a whole, as a tar file, or in a batch."""
    names = [*ARCHIVES["cifar10"].train, *ARCHIVES["cifar10"].test]
    batches = {name: _batch(number) for number, name in enumerate(names)}
    inside = ARCHIVES["cifar10"].folder

    def tar(changed: dict[str, bytes]) -> bytes:
        return tarred([(member(f"{inside}/{k}"), v) for k, v in (batches | changed).items()])

    packed = gzipped(tar({}))
    archive = ARCHIVES["cifar10"]._replace(
        size=1 << 23, unpacked=1 << 23, sha256=hashlib.sha256(packed).hexdigest()
    )
    path = folder / archive.name
    return Subject(
        {
            "archive": Spot(packed, writer(path)),
            "tar": Spot(tar({}), writer(path, gzipped)),
            "batch": Spot(
                batches["data_batch_2"],
                writer(path, lambda batch: gzipped(tar({"data_batch_2": batch}))),
            ),
        },
        lambda: cifar.load_cifar("cifar10", folder, offline=True)[:4],
        images_and_labels(10),
        hostile=[
            ("archive", BOMB),
            *[("tar", each) for each in tars(f"{inside}/data_batch_1", batches["data_batch_1"])],
            *[("batch", each) for each in pickles()],
        ],
        settings=[*_of_archive(archive), (cifar_files, "verify_size", lambda *_: None)],
        checks=[(cifar, "verify_sha256")],
    )


def cifar_folder(folder: Path) -> Subject:
    """CIFAR-10 unpacked, of Python 2 and of Python 3."""
    official = ARCHIVES["cifar10"]
    batches = {name: _batch(number) for number, name in enumerate(official.train)}
    batches |= {"data_batch_3": _batch(3, 3), "data_batch_4": _old_batch(), "test_batch": _batch(8)}
    sums = {k: hashlib.md5(v, usedforsecurity=False).hexdigest() for k, v in batches.items()}
    archive = official._replace(
        unpacked=1 << 23,
        train={name: sums[name] for name in official.train},
        test={"test_batch": sums["test_batch"]},
    )
    place = folder / "cifar10" / archive.folder
    return Subject(
        {name: Spot(content, writer(place / name)) for name, content in batches.items()},
        lambda: cifar.load_cifar("cifar10", folder, offline=True)[:4],
        images_and_labels(10),
        hostile=[("data_batch_1", each) for each in pickles()],
        settings=_of_archive(archive),
        checks=[(cifar, "_verify_md5")],
    )


def cifar_jpeg(folder: Path) -> Subject:
    """CIFAR-10 encoded again: the zip file, its arrays, and an image."""
    images = [encoded(number) for number in range(3)]

    def arrays(changed: dict[str, bytes]) -> dict[str, bytes]:
        offsets = np.cumsum([0, *map(len, images)])
        found = {"jpeg": np.frombuffer(b"".join(images), np.uint8), "offsets": offsets}
        whole = {k: npy(v) for k, v in (found | {"labels": np.array([1, 2, 3], np.uint8)}).items()}
        return {f"{k}.npy": v for k, v in (whole | changed).items()}

    def one(image: bytes) -> bytes:
        jpeg = np.frombuffer(image + images[1], np.uint8)
        changed = {"jpeg": jpeg, "offsets": np.cumsum([0, len(image), len(images[1])])}
        labels = {"labels": np.array([1, 2], np.uint8)}
        return zipped(arrays({k: npy(v) for k, v in (changed | labels).items()}))

    path, other = (folder / "cifar10" / f"{part}.npz" for part in ("train", "test"))
    writer(other)(zipped(arrays({}), zipfile.ZIP_DEFLATED))
    spots = {
        "zip": Spot(zipped(arrays({})), writer(path)),
        "image": Spot(images[0], writer(path, one)),
    }
    for name, content in arrays({}).items():
        key = name.removesuffix(".npy")
        pack = lambda array, key=key: zipped(arrays({key: array}))  # noqa: E731
        spots[key] = Spot(content, writer(path, pack))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"
    magic = b"\x93NUMPY\x01\x00"
    return Subject(
        spots,
        lambda: cifar.load_cifar("cifar10-jpeg", folder)[:4],
        images_and_labels(10),
        hostile=[
            (
                "zip",
                zipped(arrays({"jpeg": npy(np.zeros(1 << 28, np.uint8))}), zipfile.ZIP_DEFLATED),
            ),
            ("zip", zipped(arrays({}), zipfile.ZIP_LZMA)),
            ("zip", npy([1, 2])),
            ("labels", npy(np.array([Call()], object))),
            *[
                ("labels", magic + len(h).to_bytes(2, "little") + h)
                for h in (header % 2**40, b"(" * 9999)
            ],
            ("offsets", npy(np.array([0, 5000, 0, 5000]))),
            ("offsets", npy(np.array([-1, 2**62, 3, 4]))),
            *[("image", each) for each in odd_images()],
        ],
    )


def _streams(folder: Path) -> Sequence[Tensor]:
    settings: Any = {"batch_size": 2, "size": 8, "seed": 0, "workers": 1, "finish": lambda x: x}
    train, test, _ = image_streams(partial(imagenet_part, folder), **settings)
    return [tensor for batches in (train, test) for batch in batches for tensor in batch]


def imagenet_folder(folder: Path) -> Subject:
    """ImageNet's folders: JPEG, PNG, and JPEG of four colours."""
    spots = {}
    kinds = (("JPEG", "RGB"), ("PNG", "RGB"), ("JPEG", "CMYK"), ("PNG", "P"))
    for number, (kind, mode) in enumerate(kinds):
        path = folder / "imagenet" / "train" / f"n{number % 2}" / f"{number}.{kind.lower()}"
        spots[f"{kind} of {mode}"] = Spot(encoded(number, kind, mode, 20), writer(path))
    for number in range(2):
        writer(folder / "imagenet" / "val" / f"n{number}" / "1.jpg")(encoded(number))
    hostile = [("PNG of RGB", each) for each in odd_images()]
    return Subject(spots, lambda: _streams(folder), images_and_labels(2), hostile)


def imagenet_shards(folder: Path) -> Subject:
    """ImageNet's shards: the tar file, an image and a class in it."""

    def shard(changed: dict[str, bytes]) -> bytes:
        members: dict[str, bytes] = {}
        for number in range(4):
            members |= {
                f"{number}.jpg": encoded(number, side=20),
                f"{number}.cls": b"%d" % (number % 2),
            }
        return tarred([(member(k), v) for k, v in (members | changed).items()])

    def pack(name: str) -> Callable[[bytes], bytes]:
        return lambda content: shard({name: content})

    path = folder / "imagenet" / "train-000.tar"
    writer(folder / "imagenet" / "val-000.tar")(shard({}))
    classes = [b"-1", b"9" * 19, b"9" * 5000, b"1e5", b"", b"\0", b"100000", " ٣".encode()]
    return Subject(
        {
            "tar": Spot(shard({}), writer(path)),
            "image": Spot(encoded(1, side=20), writer(path, pack("1.jpg"))),
            "class": Spot(b"1", writer(path, pack("1.cls"))),
        },
        lambda: _streams(folder),
        images_and_labels(100_000),
        hostile=[
            *[("tar", each) for each in (*tars("1.cls", b"1"), *tars("1.jpg", b"x"))],
            ("tar", gzipped(shard({}))),
            ("tar", BOMB),
            ("tar", shard({"5.CLS": b"7", "5.jpg": encoded(1)})),
            ("tar", shard({"__5__.cls": b"1", "6.more.cls": b"1"})),
            ("tar", shard({"1.png": encoded(1, "PNG"), "7.txt": b"1"})),
            *[("class", each) for each in classes],
            *[("image", each) for each in odd_images()],
        ],
    )
