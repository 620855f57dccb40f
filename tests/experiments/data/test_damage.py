"""Damaged and hostile files, each of a kind that a loader once took for something else."""

import gc
import gzip
import io
import math
import os
import pickle
import struct
import tarfile
import zipfile
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from torchmomentum.experiments.data import (
    cifar_jpeg,
    mnist,
    mnist_files,
    text,
    text_files,
)
from torchmomentum.experiments.data.cifar_jpeg import decode_part, load_encoded
from torchmomentum.experiments.data.cifar_pickle import read_pickle
from torchmomentum.experiments.data.damage import WholeFile, one_line, read_file, read_member, told
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.data.pictures import decode_colors
from torchmomentum.experiments.errors import UsageError

from ..conftest import encoded, write_jpegs

# webdataset leaves its files to be closed with the generator that reads them
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_an_error_is_one_line_whatever_it_quotes():
    assert one_line("a\n\tb\x1b[31m\x00c\u2028d") == "a b [31m c d"
    assert one_line("x" * 5000) == "x" * 300 + "..."
    with (
        pytest.raises(UsageError, match=r"^file is broken: KeyError; throw it away$"),
        told("file", "is broken", "throw it away"),
    ):
        raise KeyError
    with pytest.raises(UsageError, match=r"^other$"), told("file"):
        raise UsageError("other")
    with (
        pytest.raises(UsageError, match=r"^folder cannot be read: Is a directory$"),
        told("folder"),
    ):
        os.open("/", os.O_WRONLY)
    with pytest.raises(MemoryError), told("file"):
        raise MemoryError


def test_only_regular_files_of_a_size_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(UsageError, match="file is damaged: 5 bytes, expected at most 4"):
        read_file(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for other in ("pipe", "", "nothing"):
        with pytest.raises(UsageError, match="is no regular file"):
            read_file(tmp_path / other, 5)


def test_no_room_is_made_for_what_is_not_there(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    with WholeFile(tmp_path / "file") as file:
        assert file.read(1 << 50) == b"12345"
        assert file.read(1 << 50) == b""
        file.seek(1)
        assert file.read(2) == b"23"
        assert file.read() == b"45"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_members_of_zip_files_are_bounded(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a", bytes(1000))
    with zipfile.ZipFile(file) as archive:
        (member,) = archive.infolist()
        if method == zipfile.ZIP_LZMA:
            with pytest.raises(ValueError, match="a is packed by method 14"):
                read_member(archive, member, 1000)
            return
        assert read_member(archive, member, 1000) == bytes(1000)
        with pytest.raises(ValueError, match="a has 1000 bytes, at most 999"):
            read_member(archive, member, 999)


def _idx(shape, content):
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_idx((0, 28, 28), b""), "x holds nothing"),
        (_idx((1,) * 4, b"x"), "x should have 1 to 3 dimensions, has 4"),
        (_idx((), b"x"), "x should have 1 to 3 dimensions, has 0"),
        (_idx((2**32 - 1,) * 3, b"x"), f"x should hold {(2**32 - 1) ** 3} bytes of data, has 1"),
    ],
)
def test_headers_of_idx_files(content, words):
    with pytest.raises(UsageError, match=words):
        mnist.read_idx(content, "x")


def test_a_bomb_is_unpacked_no_further_than_expected(tmp_path, monkeypatch):
    taken = []

    class Counted(gzip.GzipFile):
        def read(self, size=-1):
            taken.append(size)
            return super().read(size)

    monkeypatch.setattr(gzip, "open", Counted)
    file = mnist_files.FILES[1]
    (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(bytes(file.size + 5)))
    with pytest.raises(UsageError, match=r"\.gz is damaged: it unpacks to more than 60008 bytes"):
        mnist._read(tmp_path / f"{file.name}.gz", file)
    assert taken == [file.size + 1]


@pytest.mark.parametrize(
    ("images", "labels"),
    [((2, 2, 2), (3,)), ((2, 4), (2,)), ((2, 2, 2), (2, 1)), ((11, 1, 1), (11,))],
)
def test_images_and_labels_of_mnist_belong_together(tmp_path, monkeypatch, images, labels):
    for file, shape in zip(mnist_files.FILES, (images, labels), strict=False):
        content = _idx(shape, bytes(range(math.prod(shape))))
        (tmp_path / file.name).write_bytes(content)
    monkeypatch.setattr(mnist, "verify_sha256", lambda *_: None)
    monkeypatch.setattr(mnist_files, "verify_size", lambda *_: None)
    with pytest.raises(UsageError, match="train-labels-idx1-ubyte are not of the same digits"):
        mnist.load_mnist(tmp_path, offline=True)


def _batch(*shape):
    return pickle.dumps({b"data": np.zeros(shape, np.uint8)}, 4)


class _Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({b"data": _Evil()}, 3), "it asks for posix.system"),
        (pickle.dumps({b"data": _Evil()}, 4), "it asks for posix.system"),
        (b"(S'touch evil'\nios\nsystem\n.", "it has the instruction STRING"),
        (b"\x80\x02(cos\nsystem\nU\x0atouch evilo.", "it asks for os.system"),
        (b"\x80\x04]\x94R.", "it takes a value that is not there"),
        (b"\x80\x05\x96" + (2**62).to_bytes(8, "little") + b".", "but only 1 remain"),
        (b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "a key is no name"),
        (b"\x80\x02" + b"}" * 1_000_010 + b".", "it has more than 1000000 instructions"),
        (pickle.dumps({b"data": np.zeros((2, 2), np.float32)}, 4), "not of unsigned bytes"),
        (_batch(4), "not enough values to unpack"),
        (_batch(2, 2).replace(b"K\x02K", b"K\x03K"), "cannot reshape array of size 4"),
    ],
)
def test_pickles_are_read_as_data(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        read_pickle(content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", [3, 4])
def test_what_pickles_hold_is_read_as_python_reads_it(protocol):
    given = {
        b"data": np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4)),
        b"labels": [0, 1, 255, 256, 70_000, -5, 2**40],
        b"names": [b"a", b"a" * 300, "text", "\u00e9" * 300],
        b"others": [None, True, False, 1.5, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, []],
    }
    given[b"again"] = given[b"names"]
    found = read_pickle(pickle.dumps(given, protocol))
    assert found.pop(b"data").tolist() == given.pop(b"data").tolist()
    assert found == given


def _npz(folder, **changed):
    write_jpegs(folder, "train", np.zeros((3, 32, 32, 3), np.uint8), [1, 2, 3])
    path = folder / "cifar10" / "train.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays |= {k: v(arrays) if callable(v) else v for k, v in changed.items()}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"offsets": lambda a: a["offsets"][::-1].copy()}, "offsets do not rise from 0"),
        ({"offsets": lambda a: a["offsets"] + 1}, "offsets do not rise from 0"),
        ({"offsets": lambda a: np.array([0, 9**9, 0, len(a["jpeg"])])}, "offsets do not rise"),
        ({"labels": np.array([1, 2, 10])}, r"a label is not in \[0, 10\)"),
        ({"labels": np.array([1, 2, -1])}, r"a label is not in \[0, 10\)"),
        ({"labels": np.array([1.0, 2.0, 3.0])}, "labels must be a row of whole numbers"),
        ({"labels": np.array([[1], [2], [3]])}, "labels must be a row of whole numbers"),
        ({"labels": np.array([1, 2, None])}, "labels must be a row of whole numbers, got object"),
        ({"jpeg": lambda a: a["jpeg"].astype(np.uint16)}, "jpeg must be of unsigned bytes"),
    ],
)
def test_arrays_of_encoded_images(tmp_path, changed, words):
    _npz(tmp_path, **changed)
    with pytest.raises(UsageError, match=rf"train\.npz is damaged: {words}"):
        load_encoded(tmp_path, "train")


def test_arrays_are_unpacked_up_to_a_multiple_of_the_file(tmp_path):
    path = tmp_path / "cifar10" / "train.npz"
    path.parent.mkdir()
    np.savez_compressed(path, jpeg=np.zeros(1 << 20, np.uint8), offsets=[0], labels=[0])
    with pytest.raises(UsageError, match=r"jpeg\.npy has 1048704 bytes, at most"):
        load_encoded(tmp_path, "train")


def test_an_array_is_as_long_as_it_says(tmp_path, monkeypatch):
    """NumPy would make room for a terabyte."""
    _npz(tmp_path)
    real = cifar_jpeg.read_member

    def lying(archive, member, at_most):
        return real(archive, member, at_most).replace(b"(3,), ", b"(%d,)" % 2**40)

    monkeypatch.setattr(cifar_jpeg, "read_member", lying)
    with pytest.raises(UsageError, match=f"labels has another length than {2**40}"):
        load_encoded(tmp_path, "train")


def test_encoded_images_are_of_one_size(tmp_path):
    write_jpegs(tmp_path, "train", np.zeros((1, 32, 31, 3), np.uint8), [1])
    with pytest.raises(UsageError, match="an image is not of 32 x 32 pixels"):
        decode_part(tmp_path, "train")
    write_jpegs(tmp_path, "train", np.zeros((1, 33, 32, 3), np.uint8), [1])
    with pytest.raises(UsageError, match="it has 32 x 33 pixels"):
        decode_part(tmp_path, "train")


def test_pictures_are_jpeg_or_png_and_not_huge(tmp_path, monkeypatch):
    picture = np.zeros((5, 4, 3), np.uint8)
    for kind in ("JPEG", "PNG"):
        assert decode_colors(encoded(picture, kind)).size == (4, 5)
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"  # Pillow would run Ghostscript
    for content in (program, encoded(picture, "GIF"), encoded(picture, "TIFF"), b""):
        with pytest.raises(ValueError, match="not a JPEG file"):
            decode_colors(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19)
    with pytest.raises(ValueError, match="it has 4 x 5 pixels"):
        decode_colors(encoded(picture))
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match="is no regular file"):
        decode_colors(tmp_path / "pipe.jpg")


class Kind(NamedTuple):
    """Of a member that is no file."""

    code: bytes


def _tar(path, members, kind="w"):
    with tarfile.open(path, kind, format=tarfile.GNU_FORMAT) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
            else:
                member.type, member.linkname, content = content.code, "/etc/passwd", b""
            file.addfile(member, io.BytesIO(content))


IMAGE = encoded(np.zeros((5, 4, 3), np.uint8))
WHOLE = {"a.jpg": IMAGE, "a.cls": b"1", "b.jpg": IMAGE, "b.cls": b"0"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (WHOLE | {"c.jpg": Kind(tarfile.SYMTYPE)}, "c.jpg is no regular file"),
        (WHOLE | {"c.jpg": Kind(tarfile.FIFOTYPE)}, "c.jpg is no regular file"),
        (
            WHOLE | {"c.jpg": Kind(tarfile.GNUTYPE_SPARSE)},
            "c.jpg is no regular file",
        ),
        (WHOLE | {"a.cls": b"-1"}, r"a class must be in \[0, 100000\), got -1"),
        (WHOLE | {"a.cls": b"9" * 19}, r"a class must be in \[0, 100000\)"),
        (WHOLE | {"a.cls": b"1" + b" " * 5000}, None),
        (WHOLE | {"a.cls": b"9" * 5000}, r"a class must be in \[0, 100000\)"),
        (WHOLE | {"a.cls": b"one"}, "invalid literal"),
    ],
)
def test_shards_are_looked_through(tmp_path, members, words):
    (tmp_path / "imagenet").mkdir()
    _tar(tmp_path / "imagenet" / "train-0.tar", members)
    if words is None:
        assert imagenet_part(tmp_path, "train", None, None).size == 2
        return
    with pytest.raises(UsageError, match=rf"train-0\.tar is damaged: {words}"):
        imagenet_part(tmp_path, "train", None, None)


def test_a_shard_is_a_plain_tar_file_with_its_end(tmp_path):
    path = tmp_path / "imagenet" / "train-0.tar"
    path.parent.mkdir()
    _tar(path, WHOLE, "w:gz")
    with pytest.raises(UsageError, match=r"train-0\.tar is damaged: (truncated|invalid|bad)"):
        imagenet_part(tmp_path, "train", None, None)
    _tar(path, {"a.cls": b"1", "b.cls": b"0"})  # each is two blocks of 512 bytes
    content = path.read_bytes()
    for damaged in (content[:1024], content[:1024] + b"x" + content[1025:]):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match="no header and no end at byte 1024"):
            imagenet_part(tmp_path, "train", None, None)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"__c__/c.cls": b"1"}, r"imagenet is damaged: 3 classes \(\.cls\) but 2 samples"),
        ({"c.cls": b"1"}, "c has no image or class"),
        ({"c.jpg": IMAGE}, None),
        ({"a.png": IMAGE, "a.PNG": IMAGE}, r"imagenet/train-\*\.tar is damaged: .*duplicate"),
    ],
)
def test_samples_are_as_many_as_classes(tmp_path, extra, words):
    (tmp_path / "imagenet").mkdir()
    _tar(tmp_path / "imagenet" / "train-0.tar", extra | WHOLE)
    part = imagenet_part(tmp_path, "train", None, None)
    if words is None:
        words = "c has no image or class"
    with pytest.raises(UsageError, match=words):
        list(part.stream(0, 0))
    gc.collect()  # here, where the warning is passed over


@pytest.mark.parametrize("change", [b"", b"no mark of what is unknown", b"\xff<unk>"])
def test_texts_of_the_treebank(tmp_path, monkeypatch, change):
    monkeypatch.setattr(text_files, "verify_size", lambda *_: None)
    monkeypatch.setattr(text_files, "verify_sha256", lambda *_: None)
    for name in ("train", "valid", "test"):
        (tmp_path / f"ptb.{name}.txt").write_bytes(b"a <unk> b\n")
    assert [part.tolist() for part in text.load_ptb(tmp_path)[1:]] == [[0, 1, 2, 3]] * 3
    (tmp_path / "ptb.train.txt").write_bytes(change)
    with pytest.raises(UsageError, match=r"ptb\.train\.txt"):
        text.load_ptb(tmp_path)
