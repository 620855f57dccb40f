"""Files that killed processes left, and files that others write now."""

import os
import socket
import subprocess
import sys

import pytest

from torchmomentum.experiments import files
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.place import Place

from .engine.test_compute import Double


def _dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _temporary(folder, writer, machine=None, of="a.json"):
    name = f".{of}.tmp-{machine or socket.gethostname()}-{writer}-x1_y{os.path.splitext(of)[1]}"
    path = folder / name
    path.write_text("half")
    return path


def test_what_a_killed_process_left_is_removed_with_the_next_write(tmp_path):
    left = _temporary(tmp_path, _dead())
    recycled = _temporary(tmp_path, os.getpid())  # a container's process has the same number again
    kept = [
        _temporary(tmp_path, os.getppid()),  # it lives
        _temporary(tmp_path, _dead(), "another-machine"),  # nobody here knows
        _temporary(tmp_path, _dead(), of="b.json"),  # whoever writes b.json removes it
    ]
    files.write_text(tmp_path / "a.json", "whole")
    assert not left.exists()
    assert not recycled.exists()
    assert all(path.exists() for path in kept)
    assert (tmp_path / "a.json").read_text() == "whole"


def test_who_holds_a_runs_lock_removes_all(tmp_path):
    recipe, place = Double(1.0), Place(tmp_path)
    folder = folder_of(recipe, place)
    folder.mkdir(parents=True)
    _temporary(folder, os.getppid(), "another-machine", "step-000000001.ckpt")
    compute(recipe, place)
    assert {path.name for path in folder.iterdir()} - {".lock"} == {"recipe.json", "result.json"}


def test_an_error_names_the_file_itself(tmp_path):
    def fail(path):
        path.write_text("half")
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(PermissionError) as error:
        files.write_with(tmp_path / "a.json", fail)
    assert error.value.filename == str(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())
