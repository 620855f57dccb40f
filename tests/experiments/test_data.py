import gzip
import http.server
import struct
import threading

import pytest
import torch
from torchmomentum.experiments.batches import Batches, generator, shuffled

from torchmomentum.experiments.data import folder as folder_module
from torchmomentum.experiments.data import mnist, synthetic
from torchmomentum.experiments.data.digits import load_digits
from torchmomentum.experiments.data.folder import data_folder, download, sha256
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


def test_the_copying_task():
    """Appendix A.4: K characters, L blanks, a start, K - 1 blanks; then K + L blanks and the K."""
    x, y = synthetic.copying(50, 20, generator(1))
    k = synthetic.COPIED
    symbols = x.argmax(-1)
    assert x.shape == (2 * k + 20, 50, synthetic.SYMBOLS + 2)
    assert ((symbols[:k] >= 1) & (symbols[:k] <= synthetic.SYMBOLS)).all()
    assert (symbols[k : k + 20] == synthetic.BLANK).all()
    assert (symbols[k + 20] == synthetic.START).all()
    assert (symbols[k + 21 :] == synthetic.BLANK).all()
    assert (y[: k + 20] == synthetic.BLANK).all()
    assert torch.equal(y[k + 20 :], symbols[:k])


def test_the_digits_are_scikit_learns():
    train, labels, test, test_labels = load_digits()
    assert train.shape == (1437, 64)
    assert test.shape == (360, 64)
    assert train.min() == 0.0
    assert train.max() == 1.0
    assert sorted(labels.unique().tolist()) == list(range(10))
    again = load_digits()
    assert torch.equal(again[0], train)
    assert torch.equal(again[3], test_labels)


def test_real_mnist(data_folder):
    images, labels, test_images, test_labels = mnist.load_mnist(data_folder, offline=True)
    assert images.shape == (60000, 784)
    assert test_images.shape == (10000, 784)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert 0.13 < images.mean() < 0.14


def _idx(shape, content):
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def test_idx_files_are_parsed_and_checked():
    assert mnist.read_idx(_idx((2, 3), bytes(range(6))), "x").tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(UsageError, match="x should hold 6 bytes of data, has 5"):
        mnist.read_idx(_idx((2, 3), bytes(5)), "x")
    with pytest.raises(UsageError, match="x is no IDX file"):
        mnist.read_idx(b"PK\x03\x04", "x")
    with pytest.raises(UsageError, match="cut off within its header"):
        mnist.read_idx(b"\0\0\x08\x03\0\0", "x")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"something else", mtime=0)[:-4]])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"train-images-idx3-ubyte.gz cannot be read: .*; remove it"
    ):
        mnist.load_mnist(tmp_path, offline=True)


def test_a_wrong_checksum_is_named_before_anything_is_used(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(_idx((1, 2, 2), bytes(4)))
    with pytest.raises(UsageError, match=r"is damaged: sha256 .*, expected ba891046e6505d7a"):
        mnist.load_mnist(tmp_path, offline=True)


def test_missing_files_say_where_to_put_them(tmp_path):
    with pytest.raises(UsageError) as error:
        mnist.load_mnist(tmp_path, offline=True)
    for part in ("train-images-idx3-ubyte.gz", str(tmp_path), "--data-dir", "TORCHMOMENTUM_DATA"):
        assert part in str(error.value)


def test_the_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHMOMENTUM_DATA", str(tmp_path / "variable"))
    assert data_folder("given").name == "given"
    assert data_folder(None) == tmp_path / "variable"
    monkeypatch.delenv("TORCHMOMENTUM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder(None) == tmp_path / "torchmomentum"


class _Server(http.server.BaseHTTPRequestHandler):
    content = bytes(range(256)) * 40

    def do_GET(self):
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_downloads_fall_through_the_mirrors(server, tmp_path):
    target = tmp_path / "folder" / "file"
    download([f"{server}/missing", f"{server}/there"], target)
    assert sha256(target.read_bytes()) == sha256(_Server.content)
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    with pytest.raises(UsageError, match=r"could not download other: .*404"):
        download([f"{server}/missing"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_downloads_go_on_where_they_stopped(server, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(_Server.content[:1000])
    folder_module._receive(f"{server}/there", part)
    assert part.read_bytes() == _Server.content


def test_batches_are_a_function_of_seed_epoch_and_index():
    inputs, targets = torch.arange(20.0).view(10, 2), torch.arange(10)
    batches = shuffled(inputs, targets, 3, seed=5)
    assert len(batches) == 3
    batches.epoch = 4
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


def test_generators_of_different_numbers_are_unrelated():
    draws = {
        tuple(torch.rand(2, generator=generator(*n)).tolist())
        for n in [(0,), (1,), (0, 1), (1, 0), (-1,)]
    }
    assert len(draws) == 5
    assert isinstance(Batches(lambda e, i: (e, i), 2).state_dict(), dict)
