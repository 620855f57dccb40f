"""A search is remembered in a journal, a database or behind a proxy alike."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest

from tests.experiments.sweeps.test_trials import _sweep
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.sweeps.run import run_sweeps
from torchmomentum.experiments.sweeps.storage import opened


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _binaries():
    found = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return next((Path(each).resolve().parent for each in found if each), None)


@contextmanager
def _postgresql(folder):
    """A server of its own on loopback, not as root, which it rejects."""
    pytest.importorskip("psycopg")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    user = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as home:  # pytest's folders are root's alone
        if user:
            shutil.chown(home, "nobody", "nogroup")
        data, port = f"{home}/data", _free_port()

        def call(*command):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(command, check=True, cwd=home, timeout=60, **quiet, **user)

        call(binaries / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync")
        settings = f"-h 127.0.0.1 -p {port} -k {home} -F"
        call(binaries / "pg_ctl", "-D", data, "-w", "-o", settings, "-l", f"{home}/log", "start")
        try:
            yield f"postgresql+psycopg://tester:secret@127.0.0.1:{port}/postgres"
        finally:
            call(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")


_SERVER = """
import sys
from optuna.storages import run_grpc_proxy_server
from torchmomentum.experiments.sweeps.storage import opened
with opened(sys.argv[1]) as storage:
    run_grpc_proxy_server(storage, host="127.0.0.1", port=int(sys.argv[2]))
"""


@contextmanager
def _grpc(folder):
    pytest.importorskip("grpc")
    port = _free_port()
    command = [sys.executable, "-c", _SERVER, str(folder / "journal"), str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def _sqlite(folder):
    yield f"sqlite:///{folder / 'trials.db'}"


@pytest.mark.parametrize("storage", [_sqlite, _grpc, _postgresql])
def test_every_storage_remembers_the_same_trials(storage, tmp_path):
    sweep = _sweep(3)
    (expected,) = run_sweeps(
        [sweep], Place(tmp_path / "runs"), str(tmp_path / "journal"), quiet=True
    )
    folder = tmp_path / "server"
    folder.mkdir()
    with storage(folder) as where:
        began = time.monotonic()
        while True:  # a server may not be there yet
            try:
                (found,) = run_sweeps([sweep], Place(tmp_path / "runs"), where, quiet=True)
                break
            except UsageError:
                if time.monotonic() - began > 60:
                    raise
        (again,) = run_sweeps([sweep], Place(tmp_path / "runs"), where, quiet=True)
    assert found == again == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "storage must be one that stays, sqlite:///FILE, got ''"),
        ("sqlite://", "storage must be one that stays, sqlite:///FILE, got 'sqlite://'"),
        ("/nowhere/a/b.journal", "storage /nowhere/a/b.journal: there is no folder /nowhere/a"),
        ("nosuch://a/b", "storage nosuch://a/b cannot be opened: "),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/x",
            r"storage postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x cannot be opened: ",
        ),
    ],
)
def test_a_storage_that_is_not_there_is_named_without_its_password(where, message, monkeypatch):
    monkeypatch.setattr("torchmomentum.experiments.sweeps.storage._PAUSE", 0.0)
    with pytest.raises(UsageError, match=message) as caught:
        opened(where).__enter__()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_fault_of_the_storage_is_raised_as_it_is(tmp_path):
    with pytest.raises(KeyError, match="mine"), opened(str(tmp_path / "journal")):
        raise KeyError("mine")


def test_a_line_of_a_journal_that_is_cut_off_is_dropped(tmp_path, caplog):
    journal = tmp_path / "journal"
    sweep, place = _sweep(2), Place(tmp_path / "runs")
    expected = run_sweeps([sweep], place, str(journal), quiet=True)
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run_sweeps([sweep], place, str(journal), quiet=True) == expected
    assert caplog.messages == [f"storage {journal}: its last line was cut off, and is dropped"]


def test_a_journal_that_is_damaged_is_told_in_a_line(tmp_path):
    where = str(tmp_path / "journal")
    with opened(where) as storage:
        optuna.create_study(storage=storage)
    with open(where, "a") as file:
        file.write("not json at all\n")

    def used():
        for _ in range(2):  # what is written goes after the damage
            with opened(where) as storage:
                optuna.create_study(storage=storage)

    with pytest.raises(UsageError, match=r"journal (failed|cannot be opened): Expecting value"):
        used()


def test_a_database_whose_tables_another_makes_is_waited_for(monkeypatch, tmp_path):
    ends = [RuntimeError("UNIQUE constraint failed: alembic_version"), None]

    class Storage:
        def __init__(self, where, **options):
            if (end := ends.pop(0)) is not None:
                raise end

    monkeypatch.setattr("optuna.storages.RDBStorage", Storage)
    monkeypatch.setattr("torchmomentum.experiments.sweeps.storage._PAUSE", 0.0)
    with opened("postgresql://host/x") as found:
        assert isinstance(found, Storage)
    assert ends == []
