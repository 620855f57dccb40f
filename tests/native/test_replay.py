"""The recorded calls that other processors are checked by: complete, and found out where wrong."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.native.record import recorded
from torchmomentum.ops import linear_scan
from torchmomentum.ops.cpu.build import SOURCES, find_compiler
from torchmomentum.ops.cpu.isa import INSTRUCTION_SETS, supported
from torchmomentum.ops.cpu.library import available

V2 = INSTRUCTION_SETS["v2"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not available() or V2 not in supported(), reason="needs x86 and a compiler"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The recording, and the program that replays it."""
    folder = tmp_path_factory.mktemp("native")
    recording, program = folder / "calls.bin", folder / "replay"
    subprocess.run(
        [sys.executable, "-m", "tests.native.record", str(recording)],
        env=os.environ | {"TORCHMOMENTUM_CPU_ISA": "v2"},
        check=True,
    )
    source = Path(__file__).with_name("replay.cpp")
    command = [*find_compiler(), "-std=c++17", "-O1", *V2.flags, f"-I{SOURCES}", str(source)]
    subprocess.run([*command, "-o", str(program)], check=True, capture_output=True)
    return recording, program


def test_a_replay_agrees(made):
    recording, program = made
    done = subprocess.run([program, recording], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "calls agree" in done.stdout


def test_every_kernel_but_the_optimizers_is_recorded(made):
    source = "".join(path.read_text() for path in SOURCES.iterdir())
    defined = set(re.findall(r"^(?:void|int64_t) (\w+)\(int64_t|^void (\w+)\(float", source, re.M))
    names = {a or b for a, b in defined} - {"optimizer_step"}
    recorded = made[0].read_bytes()
    assert {"lstm_backward", "matrix_product", "adam_rule_forward"} <= names
    assert {n for n in names if n.encode() not in recorded} == set()


@pytest.mark.parametrize("right", [True, False])
def test_a_kernel_that_writes_something_else_is_found(made, tmp_path, right):
    calls = []
    with recorded(calls):
        out = linear_scan(torch.randn(5, 2, 3), 0.5, torch.zeros(2, 3))
    (call,) = calls
    wrong = call.replace(out.numpy().tobytes(), (out + 1).numpy().tobytes())
    path = tmp_path / "calls.bin"
    path.write_bytes(struct.pack("<q", 1) + (call if right else wrong))
    done = subprocess.run([made[1], path], capture_output=True, text=True)
    assert (done.returncode, "filter: differs by" in done.stdout) == (int(not right), not right)
