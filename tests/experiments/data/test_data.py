"""The digits, MNIST, the generated tasks, and what is said before anything is loaded."""

import gzip
import hashlib
import struct
import subprocess
import sys

import pytest
import torch

from torchmomentum.experiments.data import mnist, mnist_files, synthetic
from torchmomentum.experiments.data.batches import generator, shuffled, some_of
from torchmomentum.experiments.data.check import DATA_SETS, check_data
from torchmomentum.experiments.data.cifar import load_cifar
from torchmomentum.experiments.data.cifar_files import ARCHIVES, NAMES
from torchmomentum.experiments.data.digits import load_digits
from torchmomentum.experiments.data.folder import data_folder
from torchmomentum.experiments.data.imagenet import imagenet_part
from torchmomentum.experiments.errors import UsageError


def test_the_adding_problem():
    """Appendix A.4: one marker in each half, the target the sum of the marked."""
    x, y = synthetic.adding(4000, 10, generator(1))
    values, markers = x.unbind(-1)
    assert ((values >= 0) & (values < 1)).all()
    assert torch.equal(markers[:5].sum(0), torch.ones(4000))
    assert torch.equal(markers[5:].sum(0), torch.ones(4000))
    torch.testing.assert_close((values * markers).sum(0), y[:, 0])
    frequency = markers.mean(1)  # each place in a half equally often
    torch.testing.assert_close(frequency, torch.full((10,), 0.2), rtol=0, atol=0.03)
    torch.testing.assert_close(values.mean(1), torch.full((10,), 0.5), rtol=0, atol=0.025)


def test_the_copying_task():
    """Appendix A.4: K characters, L blanks, a start, K - 1 blanks; then K + L blanks and the K."""
    x, y = synthetic.copying(2000, 20, generator(1))
    k = synthetic.COPIED
    symbols = x.argmax(-1)
    assert x.shape == (2 * k + 20, 2000, synthetic.SYMBOLS + 2)
    assert torch.equal(x.sum(-1), torch.ones(2 * k + 20, 2000))
    assert (symbols[k : k + 20] == synthetic.BLANK).all()
    assert (symbols[k + 20] == synthetic.START).all()
    assert (symbols[k + 21 :] == synthetic.BLANK).all()
    assert (y[: k + 20] == synthetic.BLANK).all()
    assert torch.equal(y[k + 20 :], symbols[:k])
    counts = symbols[:k].flatten().bincount(minlength=synthetic.SYMBOLS + 2)
    assert counts[0] == counts[-1] == 0
    # 20,000 characters, each of 8 equally often: five standard deviations
    assert (counts[1:-1] - 2500).abs().max() < 5 * (20_000 * 1 / 8 * 7 / 8) ** 0.5


def test_selective_copying():
    """Tokens at random steps, each set of steps as likely; then the sign, as many times."""
    count, length, tokens = 3000, 40, 16  # of sixteen kinds as well
    x, y = synthetic.selective_copying(count, length, generator(1))
    assert x.shape == (length + tokens, count, tokens)
    assert torch.equal(x.sum(-1), torch.ones(length + tokens, count))
    seen = x.argmax(-1)
    assert (seen[length:] == tokens - 1).all()
    heard = seen[:length].T
    assert torch.equal(heard[heard > 0].view(count, tokens), y.T)
    assert set(y.unique().tolist()) == set(range(1, tokens - 1))
    at = (heard > 0).float().mean(0)  # sixteen of forty steps: five standard deviations
    assert (at - tokens / length).abs().max() < 5 * (0.4 * 0.6 / count) ** 0.5
    both = ((heard[:, 0] > 0) & (heard[:, 1] > 0)).float().mean()
    assert abs(both - 16 / 40 * 15 / 39) < 5 * (0.15 / count) ** 0.5
    kinds = y.flatten().bincount()[1:] / y.numel()
    assert (kinds - 1 / 14).abs().max() < 5 * (1 / 14 * 13 / 14 / y.numel()) ** 0.5
    assert not torch.equal(y[:, 0], y[:, 1])


def _digest(part):
    values = (part * 16 if part.dim() > 1 else part).round().to(torch.uint8)
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("test", "digests"),
    [
        (360, "5760f944f9d45833 33fe81a53fa12d9c 3cc232bd25364446 70ee2850bb25b543"),
        (450, "97665c73e3ce4275 c04ab288aacca1eb e3452c6e88f0f147 761b0c5b17762fe1"),
    ],
)
def test_the_splits_of_the_digits_stay_as_they_are(test, digests):
    assert " ".join(map(_digest, load_digits(test))) == digests


def test_the_digits_are_scikit_learns_each_once():
    from sklearn.datasets import load_digits as load

    train, labels, test, test_labels = load_digits(test=100)
    assert (len(train), len(test)) == (1697, 100)
    assert (train.dtype, labels.dtype) == (torch.float32, torch.int64)
    found = [
        (tuple((x * 16).int().tolist()), int(y))
        for x, y in zip(torch.cat([train, test]), torch.cat([labels, test_labels]), strict=True)
    ]
    pixels, expected = load(return_X_y=True)
    assert sorted(found) == sorted(zip(map(tuple, pixels.astype(int)), expected, strict=True))
    assert test_labels.bincount().tolist() == [10] * 10


@pytest.mark.parametrize("test", [0, 9, 1788])
def test_a_split_of_the_digits_has_both_sides(test):
    with pytest.raises(ValueError, match=rf"test must be in \[10, 1787\], got {test}"):
        load_digits(test=test)


def _nearest_mean(train, labels, test):
    """Each test sample gets the class whose mean picture is nearest."""
    means = torch.stack([train[labels == k].mean(0) for k in range(10)])
    return torch.cdist(test, means).argmin(1)


def test_real_mnist(data_folder):
    images, labels, test_images, test_labels = mnist.load_mnist(data_folder, offline=True)
    assert images.shape == (60000, 784)
    assert test_images.shape == (10000, 784)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert 0.13 < images.mean() < 0.14
    guessed = _nearest_mean(images[:5000], labels[:5000], test_images)
    assert (guessed == test_labels).float().mean() > 0.75  # a tenth with labels of others


def _idx(shape, content):
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Four small files, some packed, in three folders; every pixel tells its picture and label."""
    pictures = {"train": bytes([10, 80, 30, 70]), "t10k": bytes([90, 20])}
    contents = {}
    for part, values in pictures.items():
        pixels = bytes(v for v in values for _ in range(6))
        contents[f"{part}-images-idx3-ubyte"] = _idx((len(values), 2, 3), pixels)
        contents[f"{part}-labels-idx1-ubyte"] = _idx((len(values),), bytes(v // 10 for v in values))
    files = tuple(
        file._replace(
            size=len(contents[file.name]),
            sha256=hashlib.sha256(contents[file.name]).hexdigest(),
        )
        for file in mnist_files.FILES
    )
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(mnist_files, "FILES", files)
    for file, place in zip(files, ("mnist", "MNIST/raw", "", "mnist"), strict=True):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        content, packed = contents[file.name], "train" in file.name
        path = tmp_path / place / (file.name + ".gz" * packed)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return tmp_path


def test_each_picture_of_mnist_has_its_label(tiny_mnist):
    check_data("mnist", tiny_mnist, offline=True)
    images, labels, test_images, test_labels = mnist.load_mnist(tiny_mnist, offline=True)
    assert labels.tolist() == [1, 8, 3, 7]
    assert test_labels.tolist() == [9, 2]
    for pictures, given in ((images, labels), (test_images, test_labels)):
        assert pictures.dtype == torch.float32
        expected = (given * 10 / 255).view(-1, 1).expand(-1, 6)
        torch.testing.assert_close(pictures, expected)


def test_a_file_of_another_size_is_told_before_it_is_read(tiny_mnist):
    path = tiny_mnist / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    for use in (check_data, lambda _, folder, offline: mnist.load_mnist(folder, offline=offline)):
        with pytest.raises(UsageError, match=r"is damaged: 27 bytes, expected 28; remove it"):
            use("mnist", tiny_mnist, offline=True)


def test_idx_files_are_parsed_and_checked():
    assert mnist.read_idx(_idx((2, 3), bytes(range(6))), "x").tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(UsageError, match="x should hold 6 bytes of data, has 5"):
        mnist.read_idx(_idx((2, 3), bytes(5)), "x")
    with pytest.raises(UsageError, match="x is not an IDX file"):
        mnist.read_idx(b"PK\x03\x04", "x")
    for begin in (b"\1\0\x08\1", b"\0\1\x08\1", b"\0\0\x0d\1"):
        with pytest.raises(UsageError, match=f"it begins '{begin.hex()}'"):
            mnist.read_idx(begin + struct.pack(">I", 2) + bytes(2), "x")
    with pytest.raises(UsageError, match="cut off within its header"):
        mnist.read_idx(b"\0\0\x08\x03\0\0", "x")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"something else", mtime=0)[:-4]])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte.gz is damaged: .*; remove it"):
        mnist.load_mnist(tmp_path, offline=True)


def test_a_wrong_checksum_is_named_before_anything_is_used(tmp_path):
    packed = gzip.compress(_idx((1, 2, 2), bytes(4)), mtime=0)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed)
    with pytest.raises(UsageError, match=r"is damaged: sha256 .*, expected ba891046e6505d7a"):
        mnist.load_mnist(tmp_path, offline=True)


def _load(name, folder):
    if name == "mnist":
        mnist.load_mnist(folder, offline=True)
    elif name == "imagenet":
        imagenet_part(folder, "train", 0, None)
    else:
        load_cifar(name, folder, offline=True)


def _message(use, *arguments, **options):
    with pytest.raises(UsageError) as error:
        use(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize("name", [*NAMES, "mnist", "imagenet"])
def test_missing_data_is_told_as_loading_tells_it(name, tmp_path):
    told = _message(check_data, name, tmp_path, offline=True)
    assert told == _message(_load, name, tmp_path)
    assert "\n" not in told
    for part in (str(tmp_path), "--data-dir", "TORCHMOMENTUM_DATA", "place "):
        assert part in told
    if name in ARCHIVES:
        assert f"{tmp_path / name / ARCHIVES[name].name} (sha256 {ARCHIVES[name].sha256})" in told


@pytest.mark.parametrize("name", DATA_SETS)
def test_data_that_can_be_downloaded_is_not_missing(name, tmp_path):
    if name in (*ARCHIVES, "mnist", "digits", "tinyshakespeare"):
        check_data(name, tmp_path, offline=False)
    else:
        told = _message(check_data, name, tmp_path, offline=False)
        assert "cannot be downloaded" in told or "as a zip file and place it as" in told


def test_one_missing_file_is_enough(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "train.npz").touch()
    assert "test.npz" in _message(check_data, "cifar10-jpeg", tmp_path)
    (tmp_path / "imagenet" / "train").mkdir(parents=True)
    assert "val-*.tar" in _message(check_data, "imagenet", tmp_path)
    (tmp_path / "imagenet" / "val-000.tar").touch()
    check_data("imagenet", tmp_path)
    for file in mnist_files.FILES[:3]:
        (tmp_path / f"{file.name}.gz").touch()
    told = _message(check_data, "mnist", tmp_path, offline=True)
    assert "t10k-labels-idx1-ubyte.gz (sha256 of the unpacked file ff7bcfd416de3373" in told


def test_an_unknown_data_set_is_told():
    assert "unknown data set 'minst'; did you mean mnist" in _message(check_data, "minst", None)


def test_looking_for_data_needs_no_torch(tmp_path):
    """Findings 25: it was told after eleven seconds that CIFAR is missing."""
    code = (
        "import sys, pathlib\n"
        "from torchmomentum.experiments.data.check import DATA_SETS, check_data\n"
        "from torchmomentum.experiments.errors import UsageError\n"
        "for name in DATA_SETS:\n"
        "    try:\n"
        f"        check_data(name, pathlib.Path({str(tmp_path)!r}), offline=True)\n"
        "    except UsageError:\n"
        "        print(name)\n"
        "print(*sorted({'torch', 'numpy', 'PIL', 'pooch', 'sklearn'} & {*sys.modules}))\n"
    )
    script = tmp_path / "torchmomentum"  # as the command line is called, which needs no torch
    script.write_text(code)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    missing = ["mnist", *NAMES, "imagenet", "timit", "spoken-digits", "ptb", "tinyshakespeare"]
    assert ran.stdout.split() == missing


def test_the_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHMOMENTUM_DATA", str(tmp_path / "variable"))
    assert data_folder("given").name == "given"
    assert data_folder(None) == tmp_path / "variable"
    monkeypatch.delenv("TORCHMOMENTUM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder(None) == tmp_path / "torchmomentum"


def test_batches_are_a_function_of_seed_epoch_and_index():
    inputs, targets = torch.arange(20.0).view(10, 2), torch.arange(10)
    batches = shuffled(inputs, targets, 3, seed=5)
    assert len(batches) == 3
    batches.epoch = 4
    for x, y in batches:  # each sequence has its own target
        assert torch.equal(x[0, :, 0], 2.0 * y)
    whole = [y.tolist() for _, y in batches]
    assert len({label for batch in whole for label in batch}) == 9
    batches.start = 2
    assert [y.tolist() for _, y in batches] == whole[2:]
    again = shuffled(inputs, targets, 3, seed=5)
    again.epoch = 4
    assert [y.tolist() for _, y in again] == whole
    again.epoch = 5
    assert [y.tolist() for _, y in again] != whole
    other = shuffled(inputs, targets, 3, seed=6)
    other.epoch = 4
    assert [y.tolist() for _, y in other] != whole


def test_a_generators_seed_is_splitmix64s():
    """The first two outputs of splitmix64 from zero, as its authors publish them."""
    golden = 0x9E3779B97F4A7C15
    for number, output in ((0, 0xE220A8397B1DCDAF), (golden, 0x6E789E6AA1B965F4)):
        assert generator(number).initial_seed() == output % 2**63
    assert generator(0, 5).initial_seed() == generator(0xE220A8397B1DCDAF + 5).initial_seed()


def test_generators_of_different_numbers_are_unrelated():
    draws = {
        tuple(torch.rand(2, generator=generator(*n)).tolist())
        for n in [(0,), (1,), (0, 1), (1, 0), (-1,)]
    }
    assert len(draws) == 5


def test_a_limit_leaves_the_same_samples_for_ever():
    """Recorded results depend on which: a change here is a change of theirs."""
    assert some_of(10, 4).tolist() == [9, 4, 5, 7]
    assert sorted(some_of(10, None).tolist()) == list(range(10))
