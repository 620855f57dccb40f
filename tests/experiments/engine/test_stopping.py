"""A process that is told to end, a disk that is full: what is left can be gone on from."""

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

import pytest

from tests.experiments.stopping import (
    all_end,
    assert_equal,
    hear_interrupts,
    train,
    weights,
    without_seconds,
)
from tools.stress import kill
from torchmomentum.experiments.cli import entry, main
from torchmomentum.experiments.engine import stopping
from torchmomentum.experiments.engine.checkpoints import checkpoints
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.studies.training import training_recipe

SMALL = {"epochs": 3, "hidden_size": 8, "train_limit": 256, "test_limit": 64, "threads": 1}


@pytest.fixture
def _listening():
    before = signal.getsignal(signal.SIGTERM)
    stopping.listen()
    yield
    stopping.listen()  # nothing was asked any longer
    signal.signal(signal.SIGTERM, before)


def _recipe():
    return training_recipe({"task": "pdigits", "model": "lstm", **SMALL}, 0)


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize("last", [6, 8])  # within an epoch, and at its end
def test_a_training_that_is_told_to_end_keeps_all_its_steps(tmp_path, last):
    def told(words, step, steps):
        if step == last - (last < 8):  # within an epoch it is heard of after the next step
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = _recipe()
    whole, expected = train(recipe, Place(tmp_path / "whole"))
    place = Place(tmp_path / "cut")
    with pytest.raises(stopping.Terminated):
        compute(recipe, place, told)
    assert checkpoints(folder_of(recipe, place))[0].name == f"step-{last:09d}.ckpt"
    stopping.listen()
    steps = []
    resumed = compute(recipe, place, lambda words, step, of: steps.append(step))
    assert steps[0] == last + 1
    assert_equal(weights(folder_of(recipe, place)), expected)
    assert without_seconds(resumed.curves) == without_seconds(whole.curves)


@pytest.mark.usefixtures("_listening")
def test_what_cannot_wait_ends_at_once():
    with pytest.raises(stopping.Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.asked()
    ended = []
    stopping.listen(lambda: ended.append(1))
    assert not stopping.asked()
    with stopping.until_next_step():
        os.kill(os.getpid(), signal.SIGTERM)
        assert not ended
    os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [1]


FULL = OSError(errno.ENOSPC, "No space left on device", "a")
RIGHTS = PermissionError(errno.EACCES, "Permission denied", "a")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("wrong"), 2, "wrong"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a"), 2, "No such file"),
        (MemoryError(), 71, "not enough memory; make the model smaller"),
        (RuntimeError("CUDA out of memory. Tried"), 71, "not enough memory"),
        (BrokenProcessPool("a process ended\nabruptly"), 71, "a process ended; give --resume"),
        (RIGHTS, 73, "Permission denied: 'a'; give another --out"),
        (OSError(errno.EROFS, "Read-only file system", "a"), 73, "Read-only file system: 'a'"),
        (FULL, 74, "No space left on device: 'a'; make room, and give --resume to go on"),
        (OSError(errno.EIO, "Input/output error", "a"), 74, "Input/output error: 'a'"),
        (KeyboardInterrupt(), 130, "interrupted; give --resume to go on"),
    ],
)
def test_the_exit_code_says_what_happened(error, code, told, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setattr(entry, "_run", fail)
    assert main([]) == code
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1
    assert printed.startswith("torchmomentum: ")


def test_other_errors_are_not_hidden(monkeypatch):
    def fail(arguments):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(entry, "_run", fail)
    with pytest.raises(RuntimeError, match="a mistake"):
        main([])


@pytest.mark.usefixtures("_listening")
def test_whatever_breaks_when_told_to_end_is_the_end(monkeypatch, capsys):
    def fail(arguments):
        with stopping.until_next_step():
            os.kill(os.getpid(), signal.SIGTERM)
        raise EOFError

    monkeypatch.setattr(entry, "_run", fail)
    assert main([]) == 143
    assert capsys.readouterr().err == "torchmomentum: ended by SIGTERM; give --resume to go on\n"


def _arguments(out):
    options = ["--epochs", "3", "--hidden-size", "8", "--train-limit", "256"]
    options += ["--test-limit", "64", "--threads", "1", "--quiet", "--out", str(out)]
    return ["train", "pdigits", "--model", "lstm", *options]


def _expected(tmp_path):
    result, state = train(_recipe(), Place(tmp_path / "expected"))
    return without_seconds(result.curves), state


def _found(out):
    recipe, place = _recipe(), Place(out / "runs")
    return without_seconds(compute(recipe, place).curves), weights(folder_of(recipe, place))


def test_a_full_disk_is_told_and_gone_on_from(tmp_path, capsys):
    """Files may not grow beyond a few kB: the first checkpoint does not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        code = main(_arguments(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = capsys.readouterr().err
    assert code == 74, told
    assert "step-000000004.ckpt" in told
    assert told.count("\n") == 1
    assert not list(tmp_path.rglob(".*.tmp-*"))
    assert main([*_arguments(tmp_path), "--resume"]) == 0
    curves, state = _expected(tmp_path)
    found, resumed = _found(tmp_path)
    assert found == curves
    assert_equal(resumed, state)


def test_a_folder_that_cannot_be_written_to(tmp_path, capsys, monkeypatch):
    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "x")

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkstemp", refuse)
        assert main(_arguments(tmp_path)) == 73
    told = capsys.readouterr().err
    assert "Read-only file system" in told
    assert "recipe.json" in told
    assert main(_arguments(tmp_path)) == 0  # it had not begun


def _ended_by(number, command, begun):
    """A command's exit code and what it told, ended by a signal once it has begun."""
    process = subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=hear_interrupts,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    try:
        deadline = time.monotonic() + 120
        while not begun() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        told = process.communicate(timeout=60)[1]
        assert all_end(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, told


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
@pytest.mark.slow
def test_a_command_that_is_ended_ends_its_children(tmp_path, number, code, told):
    command = [
        *(sys.executable, "-m", "torchmomentum", "compare", "adding", "--models", "lstm,gru"),
        *("--jobs", "2", "--epochs", "4000", "--quiet", "--threads", "1", "--out", str(tmp_path)),
        *("--length", "10", "--checkpoint-every", "7"),
    ]
    found = _ended_by(number, command, lambda: len(list(tmp_path.glob("runs/*/step-*.ckpt"))) > 2)
    assert found == (code, f"torchmomentum: {told}; give --resume to go on\n")
    assert not list(tmp_path.rglob(".*.tmp-*"))


@pytest.mark.slow
def test_two_processes_of_one_folder_do_not_mix(tmp_path):
    """One computes the run, the other waits for it; both tell the same."""
    command = [sys.executable, "-m", "torchmomentum", *_arguments(tmp_path), "--resume"]
    both = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=120)[0] for process in both)
    assert first == second != ""
    assert [process.returncode for process in both] == [0, 0]
    curves, state = _expected(tmp_path)
    found, weights_ = _found(tmp_path)
    assert found == curves
    assert_equal(weights_, state)
    assert len(list(tmp_path.glob("runs/*/tensorboard/events.*"))) == 1


@pytest.mark.slow
def test_the_stress_command_kills_and_compares(tmp_path, capsys, monkeypatch):
    small = [*_arguments("x")[:4], "--epochs", "3", "--train-limit", "256", "--test-limit", "64"]
    monkeypatch.setitem(kill.KINDS, "small", [*small, "--hidden-size", "8", "--threads", "1"])
    assert kill.main(["--times", "1", "--kinds", "small"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("small: 1 kills, ")
    assert told.endswith(" training; equal\n")
