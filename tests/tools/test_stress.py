"""A small part of what ``tools.stress.fuzz`` feeds to loaders, and what it notices of them."""

import gc
import json
import os
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from tools.stress import fuzz
from tools.stress.fuzz import LOADERS, ROOT, Attack, ViolationError
from tools.stress.mutations import mutate
from torchmomentum.experiments.data import text, text_files
from torchmomentum.experiments.errors import UsageError

# webdataset leaves its files to be closed with the generator that reads them
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
HOSTILE, RANDOM = range(30), range(1000, 1030)


@pytest.mark.parametrize("loader", LOADERS)
def test_whatever_a_file_holds_a_loader_gives_tensors_or_one_line(loader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a command that is run leaves its mark
    attack = Attack(loader, tmp_path, seed=1)
    loaded = [attack.run(index) for index in (*HOSTILE, *RANDOM)]
    assert 0 < sum(loaded) < len(loaded)
    gc.collect()  # here, where the warning is passed over


def _raise(error):
    def broken(*_):
        raise error

    return broken


def _text(part):
    return text.Text(["a"], part, part, part)


@pytest.mark.parametrize(
    ("where", "broken", "words"),
    [
        ((text, "text_of"), _raise(KeyError("x")), "KeyError"),
        ((text, "text_of"), _raise(MemoryError()), "MemoryError"),
        ((text, "text_of"), _raise(UsageError("one\ntwo")), "is not a short line"),
        ((text, "text_of"), _raise(UsageError("no such thing")), "names no file"),
        ((text, "text_of"), lambda *_: _text(torch.ones(9)), "words of torch.float"),
        ((text, "text_of"), lambda *_: _text(torch.full((9,), 5)), "out of range"),
        ((text, "text_of"), lambda *_: os.system("touch executed"), "it left"),
        ((text_files, "verify_sha256"), lambda *_: None, "what the checksums forbid"),
    ],
)
def test_what_a_loader_should_not_do_is_noticed(tmp_path, monkeypatch, where, broken, words):
    monkeypatch.chdir(tmp_path)
    attack = Attack("tinyshakespeare", tmp_path, seed=0)
    monkeypatch.setattr(*where, broken)

    def run():
        for index in range(20, 200):
            attack.run(index)

    with pytest.raises(ViolationError, match=words):
        run()


_GREEDY = """
import dataclasses
from tools.stress import fuzz

make, calls = fuzz.LOADERS["text"], []

def greedy(folder):
    subject = make(folder)

    def load():
        calls.append(bytearray(1 << 30) if len(calls) == 2 else None)
        return subject.load()

    return dataclasses.replace(subject, load=load)

fuzz.LOADERS["text"] = greedy
fuzz._child("text", 0, 0, 3, 200)
"""


def test_memory_beyond_the_limit_is_noticed():
    command = [sys.executable, "-c", _GREEDY]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[:4] == [0, 1, {"index": 1, "violation": "MemoryError: "}, 2]


def test_a_process_that_ends_is_noticed_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "ROOT", tmp_path)
    answers = [
        (-11, "0\n1\n2\n", "Segmentation fault"),
        (0, '3\n4\n{"loaded": 1, "peak": 5, "seconds": 0.5}\n', "noise"),
    ]
    asked = []

    def run(command, **_):
        asked.append(command[4:])
        code, out, err = answers.pop(0)
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    monkeypatch.setattr(fuzz.subprocess, "run", run)
    options = ["--mutations", "5", "--loader", "text", "--megabytes", "200"]
    monkeypatch.setattr(sys, "argv", ["fuzz", *options])
    assert fuzz.main() == 1
    assert asked == [["text", "0", "0", "5", "200"], ["text", "0", "3", "5", "200"]]
    told = capsys.readouterr().out
    assert re.search(r"^text +5 +1 +2 +5 +0\.5$", told, re.MULTILINE)
    assert "text, seed 0, number 2: the process ended with -11: Segmentation fault" in told
    assert "something was printed: noise" in told
    attack = Attack("text", tmp_path / "again", 0)
    kept = tmp_path / "build" / "fuzz" / "text-0-2"
    assert kept.read_bytes() == attack.damaged(2)[1]


def test_damage_is_fixed_by_its_numbers():
    content = bytes(range(256)) * 8 + b"count 1024"
    first, again = ([mutate(content, random.Random(k)) for k in range(200)] for _ in range(2))
    assert first == again
    assert len({*first}) > 190
    assert sum(len(each) != len(content) for each in first) > 50
    assert not any(mutate(b"", random.Random(k)) for k in range(20))
