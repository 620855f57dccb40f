"""Downloads, from a server on this machine."""

import gzip
import hashlib
import http.server
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

from torchmomentum.experiments.data import cifar, cifar_files, mnist, mnist_files
from torchmomentum.experiments.data import download as module
from torchmomentum.experiments.data.download import download
from torchmomentum.experiments.errors import UsageError

CONTENT = bytes(range(256)) * 40
SHA256, SIZE = hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)


ANSWERS = {
    "/garbage": b"\0\xff no answer at all\r\n\r\n",
    "/unending": b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT * 3,
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + CONTENT,
    "/negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + CONTENT[1:],
    "/nonsense": b"HTTP/1.1 200 OK\r\nContent-Length: 5, many\r\n\r\n" + CONTENT,
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\nx",
    "/elsewhere": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "/around": b"HTTP/1.1 302 Found\r\nLocation: /around\r\nConnection: close\r\n\r\n",
    "/bomb": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(1 << 24)),
    "/unpackable": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + CONTENT,
}


class _Server(http.server.BaseHTTPRequestHandler):
    served: ClassVar[dict[str, bytes]] = {"/there": CONTENT, "/other": CONTENT[::-1]}
    asked: ClassVar[list[str]] = []
    open_until: ClassVar[threading.Event] = threading.Event()

    def do_GET(self):
        self.asked.append(self.path)
        if self.path in ANSWERS:
            self.wfile.write(ANSWERS[self.path])
            return
        if self.path == "/silent":
            self.open_until.wait(10)
            return
        name = self.path.removeprefix("/cut")
        if name not in self.served:
            self.send_error(404)
            return
        content = self.served[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if self.path.startswith("/cut") else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        serve = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        _Server.asked.clear()
        _Server.open_until.clear()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_the_first_mirror_with_the_right_file_is_taken(server, tmp_path):
    target = tmp_path / "folder" / "file"
    mirrors = [f"{server}/{name}" for name in ("missing", "cut/there", "other", "there")]
    download(mirrors, target, SHA256, SIZE)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "404"),
        ("cut/there", "1000 bytes read"),
        ("other", "its sha256 is "),
        ("garbage", "BadStatusLine"),
        ("unending", f"it is larger than {SIZE} bytes"),
        ("short", "its sha256 is "),
        ("negative", "its sha256 is "),
        ("nonsense", "5, many"),
        ("chunks", "Connection broken"),
        ("elsewhere", "No connection adapters"),
        ("around", "redirects"),
        ("bomb", f"it is larger than {SIZE} bytes"),
        ("unpackable", "gzip"),
    ],
)
def test_what_cannot_be_had_leaves_nothing_behind(server, tmp_path, name, words):
    with pytest.raises(UsageError) as error:
        download([f"{server}/{name}"], tmp_path / "file", SHA256, SIZE)
    told = str(error.value)
    assert told.startswith(f"could not download file: {server}/{name}: ")
    for part in (words, f"Place {tmp_path / 'file'} (sha256 {SHA256})", "--data-dir"):
        assert part in told
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_says_nothing_is_not_waited_for(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    with pytest.raises(UsageError, match=r"silent: .*timed out"):
        download([f"{server}/silent"], tmp_path / "file", SHA256, SIZE)
    _Server.open_until.set()
    assert list(tmp_path.iterdir()) == []


def test_several_processes_download_once(server, tmp_path):
    """And what one that was killed has left is removed."""
    (tmp_path / ".file.tmp-elsewhere-1-x").write_bytes(CONTENT[:100])
    code = (
        "import pathlib, sys\n"
        "from torchmomentum.experiments.data.download import download\n"
        f"download([{server + '/there'!r}], pathlib.Path('file'), {SHA256!r}, {SIZE})\n"
        "print('torch' in sys.modules)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    script = tmp_path / "torchmomentum"  # as the command line is called, which needs no torch
    script.write_text(code)
    command = [sys.executable, str(script)]
    started = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(3)]
    assert [process.communicate(timeout=60) for process in started] == [("False\n", "")] * 3
    assert _Server.asked == ["/there"]
    script.unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": CONTENT}


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UsageError, match=r"File exists|Not a directory"):
        download([f"{server}/there"], tmp_path / "folder" / "file", SHA256, SIZE)


def test_no_server(tmp_path):
    with pytest.raises(UsageError, match=r"could not download file: http://127\.0\.0\.1:9/x: "):
        download(["http://127.0.0.1:9/x"], tmp_path / "file", SHA256, SIZE)


def test_missing_files_of_mnist_are_downloaded(server, tmp_path, monkeypatch):
    contents = {
        "train-images-idx3-ubyte": b"\0\0\x08\3\0\0\0\1\0\0\0\1\0\0\0\1\xff",
        "train-labels-idx1-ubyte": b"\0\0\x08\1\0\0\0\1\7",
        "t10k-images-idx3-ubyte": b"\0\0\x08\3\0\0\0\1\0\0\0\1\0\0\0\1\0",
        "t10k-labels-idx1-ubyte": b"\0\0\x08\1\0\0\0\1\3",
    }
    packed = {name: gzip.compress(content, mtime=0) for name, content in contents.items()}
    files = tuple(
        file._replace(
            sha256=hashlib.sha256(contents[file.name]).hexdigest(),
            packed_sha256=hashlib.sha256(packed[file.name]).hexdigest(),
        )
        for file in mnist_files.FILES
    )
    served = {f"/mnist/{name}.gz": content for name, content in packed.items()}
    monkeypatch.setattr(_Server, "served", served)
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(mnist, "MIRRORS", (f"{server}/nothing/", f"{server}/mnist/"))
    parts = mnist.load_mnist(tmp_path)
    assert [part.tolist() for part in parts] == [[[1.0]], [7], [[0.0]], [3]]
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(
        f"{name}.gz" for name in contents
    )
    served.clear()  # what is there is not downloaded again, even if packed otherwise
    for name, content in contents.items():
        (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content, 1, mtime=9))
    assert [part.tolist() for part in mnist.load_mnist(tmp_path)] == [[[1.0]], [7], [[0.0]], [3]]


def test_a_missing_archive_of_cifar_is_downloaded(server, tmp_path, monkeypatch):
    official = cifar_files.ARCHIVES["cifar10"]._replace(sha256=SHA256)
    monkeypatch.setattr(_Server, "served", {f"/{official.name}": CONTENT})
    monkeypatch.setitem(cifar_files.ARCHIVES, "cifar10", official)
    monkeypatch.setattr(cifar, "SITE", f"{server}/")
    monkeypatch.setattr(cifar, "_packed", lambda path, archive: pytest.fail(str(path)))
    with pytest.raises(pytest.fail.Exception) as reached:
        cifar.load_cifar("cifar10", tmp_path)
    assert str(reached.value) == str(tmp_path / "cifar10" / official.name)
    assert (tmp_path / "cifar10" / official.name).read_bytes() == CONTENT


def test_without_pooch_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UsageError, match="pooch is missing: pip install"):
        download(["http://127.0.0.1:9/x"], tmp_path / "file", SHA256, SIZE)
