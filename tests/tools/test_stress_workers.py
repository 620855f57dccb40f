"""The stress command of workers compares what it says, and ends where a worker fails."""

import sys

import pytest

from tools.stress import workers


def _main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["workers", *arguments])
    workers.main()


@pytest.mark.slow
def test_a_worker_is_killed_and_the_trials_are_the_same(monkeypatch, capsys):
    _main(monkeypatch, "--workers", "1", "--kills", "1", "--trials", "3")
    said = capsys.readouterr().out
    assert "1 workers killed" in said
    assert "3 trials, equal to the bit to those of one undisturbed worker" in said


def test_fewer_kills_than_asked_for_are_no_success(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "_disturb", lambda *given: 2)
    monkeypatch.setattr(workers, "_COMMAND", ("--help",))
    monkeypatch.setattr(workers, "_numbers", lambda out: [])
    with pytest.raises(SystemExit, match="all trials had ended before 2 more kills"):
        _main(monkeypatch, "--kills", "3")


def test_a_worker_that_fails_ends_the_command(monkeypatch):
    monkeypatch.setattr(workers, "_COMMAND", ("sweep", "nothing", "--model", "lstm"))
    with pytest.raises(SystemExit, match="a worker failed: torchmomentum: error:"):
        _main(monkeypatch, "--workers", "1", "--kills", "1", "--trials", "1")
