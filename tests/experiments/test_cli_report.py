"""`report` and `watch` from the command line."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.stopping import hear_interrupts
from tests.experiments.studies.test_recorded import recipe
from torchmomentum.experiments.cli import main
from torchmomentum.experiments.files import write_json

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def folder(tmp_path):
    """A folder with two studies and a run under way."""
    for name in ("pdigits", "figure7"):
        (tmp_path / name).mkdir()
        shutil.copy(RESULTS / name / "results.json", tmp_path / name)
    write_json(tmp_path / "runs" / "a" / "recipe.json", recipe("going"))
    return tmp_path


def _tree(folder):
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _h1(path):
    return re.search("<h1>(.*)</h1>", path.read_text(encoding="utf-8")).group(1)


def test_the_page_lies_beside_its_results(folder, capsys):
    out = folder / "pdigits" / "report.html"
    for path in (folder / "pdigits", folder / "pdigits" / "results.json"):
        assert main(["report", str(path)]) == 0
        assert capsys.readouterr().out == f"written to {out}\n"
        assert _h1(out) == "8x8 digits pixel by pixel in a fixed random order, 64 steps"
        out.unlink()


def test_a_folder_of_folders(folder, capsys):
    (folder / "broken").mkdir()
    (folder / "broken" / "results.json").write_text("{")
    before = _tree(folder)
    assert main(["report", str(folder)]) == 0
    assert "written to" in capsys.readouterr().out
    out = folder / "report.html"
    assert _h1(out) == "Report on 2 studies"
    text = out.read_text(encoding="utf-8")
    assert "1 run under way." in text
    assert f"{folder / 'broken' / 'results.json'} is not valid JSON" in text
    assert {k: v for k, v in _tree(folder).items() if k != str(out)} == before


def test_another_file_another_table_and_the_figures(folder, capsys):
    out = folder / "pages" / "mine.html"
    paths = [str(folder / name) for name in ("pdigits", "figure7")]
    assert main(["report", *paths, "--out", str(out)]) == 0
    assert _h1(out) == "Report on 2 studies"
    options = ["--table", "time-to-accuracy", "--figures", "--out", str(out)]
    assert main(["report", paths[0], *options]) == 0
    assert "Training until accuracy" in out.read_text(encoding="utf-8")
    assert (folder / "pdigits" / "train_loss.svg").exists()
    assert not (folder / "pdigits" / "report.html").exists()
    capsys.readouterr()
    assert main(["report", paths[0], "--table", "grid"]) == 2
    assert "cannot be shown as grid: KeyError" in capsys.readouterr().err


def test_results_of_an_older_form_are_refused(folder, capsys):
    file = folder / "pdigits" / "results.json"
    write_json(file, {**json.loads(file.read_text()), "schema": 0})
    assert main(["report", str(folder / "pdigits")]) == 2
    assert "is not a torchmomentum results file (schema 1)" in capsys.readouterr().err


@contextlib.contextmanager
def _watching(*arguments):
    command = [sys.executable, "-m", "torchmomentum", "watch", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ, preexec_fn=hear_interrupts, **pipes) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def _get(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as asked:
        asked.request("GET", path)
        return asked.getresponse().read().decode()


def test_watch_follows_its_files_and_writes_nothing(folder):
    before = _tree(folder)
    with _watching(folder, "--port", 0) as (process, line):
        port = int(re.match(r"http://127\.0\.0\.1:(\d+)/ ", line).group(1))
        first = json.loads(_get(port, "/state"))["version"]
        page = _get(port, "/")
        assert f'data-version="{first}"' in page
        assert "1 run under way." in page
        assert _tree(folder) == before
        write_json(folder / "runs" / "b" / "recipe.json", recipe("other"))
        assert json.loads(_get(port, "/state"))["version"] != first
        assert "2 runs under way." in _get(port, "/")
        (folder / "pdigits" / "results.json").write_text("{")  # damage ends nothing
        assert "is not valid JSON" in _get(port, "/")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "torchmomentum: no longer served\n"


def test_a_port_in_use_is_one_line(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["watch", str(folder), "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"port {port} of 127.0.0.1: Address already in use; give another --port" in err


def test_what_is_printed_is_the_file(capsys):
    assert main(["report", str(RESULTS / "figure7"), "--markdown"]) == 0
    assert capsys.readouterr().out == (RESULTS / "figure7" / "table.md").read_text()
