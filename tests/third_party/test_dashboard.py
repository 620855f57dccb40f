"""optuna-dashboard opens on what a sweep remembers, whatever the storage."""

import json
import re
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from torchmomentum.experiments.cli import main

COMMAND = ["sweep", "pdigits", "--model", "momentum-lstm", "--scale", "smoke", "--quiet"]
COMMAND += ["--hidden-size", "8", "--trials", "3", "--jobs", "1"]


def _port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _get(url):
    for _ in range(300):
        try:
            with urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("storage", ["sqlite:///{}/trials.db", "{}/trials.journal"])
def test_the_dashboard_shows_the_trials(storage, tmp_path):
    pytest.importorskip("optuna_dashboard")
    where, port = storage.format(tmp_path), _port()
    assert main([*COMMAND, "--out", str(tmp_path / "out"), "--storage", where]) == 0
    start = "from optuna_dashboard._cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", start, where, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (study,) = json.loads(_get(f"http://127.0.0.1:{port}/api/studies"))["study_summaries"]
        assert re.fullmatch(r"pdigits momentum-lstm [0-9a-f]{8}", study["study_name"])
        url = f"http://127.0.0.1:{port}/api/studies/{study['study_id']}"
        trials = json.loads(_get(url))["trials"]
        assert [trial["state"] for trial in trials] == ["Complete"] * 3
        assert {p["name"] for p in trials[0]["params"]} == {"lr", "mu", "step_size"}
    finally:
        server.terminate()
        server.wait(30)
