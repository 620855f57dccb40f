"""The instruction sets of the CPU kernels: which there are, which is taken, that all agree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from torchmomentum._torch_private import openmp_functions
from torchmomentum.ops.cpu import build as _build
from torchmomentum.ops.cpu import isa as _isa
from torchmomentum.ops.cpu.library import available

compiler = pytest.mark.skipif(not available(), reason="no C++ compiler here")
_V2 = "ssse3 sse4_1 sse4_2 popcnt"
_V3 = f"{_V2} avx avx2 fma bmi1 bmi2 f16c"
_V4 = f"{_V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes a processor of some kind and features; no features: it does not tell them."""
    monkeypatch.delenv("TORCHMOMENTUM_CPU_ISA", raising=False)

    def make(kind, features=None, capability="DEFAULT"):
        path = tmp_path / "cpuinfo"
        if features is not None:
            path.write_text(f"processor : 0\nflags\t\t: fpu {features}\n\nflags : others\n")
        monkeypatch.setattr(_isa, "_CPUINFO", path)
        monkeypatch.setattr(_isa.platform, "machine", lambda: kind)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)

    return make


@pytest.mark.parametrize(
    ("kind", "features", "capability", "expected"),
    [
        ("x86_64", "", "", []),
        ("x86_64", _V2, "", ["v2"]),
        ("x86_64", _V3, "", ["v2", "v3"]),
        ("x86_64", _V3.replace(" fma", ""), "", ["v2"]),
        ("x86_64", _V4, "AVX2", ["v2", "v3", "v4"]),
        ("x86_64", f"{_V4} avx512_bf16", "", ["v2", "v3", "v4", "v4-bf16"]),
        ("AMD64", None, "AVX2", ["v2", "v3"]),
        ("AMD64", None, "AVX512", ["v2", "v3", "v4"]),
        ("AMD64", None, "NO AVX", ["v2"]),
        ("aarch64", "", "", ["neon"]),
        ("arm64", None, "DEFAULT", ["neon"]),
        ("riscv64", None, "DEFAULT", ["generic"]),
    ],
)
def test_what_a_processor_has(machine, kind, features, capability, expected):
    machine(kind, features, capability)
    assert [each.name for each in _isa.supported()] == expected
    chosen = _isa.chosen()
    assert (chosen.name if chosen else None) == (expected[-1] if expected else None)


def test_one_can_be_forced_that_the_processor_has(machine, monkeypatch):
    machine("x86_64", _V3)
    monkeypatch.setenv("TORCHMOMENTUM_CPU_ISA", "V2")
    assert _isa.chosen().name == "v2"
    monkeypatch.setenv("TORCHMOMENTUM_CPU_ISA", "v4")
    with pytest.raises(ValueError, match=r"is 'v4', which this processor lacks; it has v2, v3$"):
        _isa.chosen()
    monkeypatch.setenv("TORCHMOMENTUM_CPU_ISA", "avx2")
    with pytest.raises(ValueError, match=r"must be one of v2, v3, v4, .* got 'avx2'"):
        _isa.chosen()


def test_a_processor_with_none_goes_without(machine):
    machine("x86_64", "mmx")
    with pytest.raises(_build.BuildError, match="none of the instruction sets"):
        _build.build()


@compiler
@pytest.mark.slow
@pytest.mark.parametrize("isa", [each.name for each in _isa.supported()[:-1]])
def test_every_other_variant_passes_the_kernel_suite(isa):
    """The fastest one runs in the suite itself; ``make check-native`` runs all there is."""
    files = ("test_cpu.py", "test_cpu_bfloat16.py", "test_step.py")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"),
            *("-k", "not triton and not compiled_graph"),
            *(f"tests/ops/{file}" for file in files),
        ],
        env=os.environ | {"TORCHMOMENTUM_CPU_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@compiler
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_are_those_of_pytorch():
    """No OpenMP library but torch's is loaded, and a kernel runs in as many threads as torch."""
    script = """
import os
import torch
from torchmomentum.ops import available, product
assert available()
torch.set_num_threads(3)
a, out = torch.empty(512, 512), torch.empty(512, 512)
before = len(os.listdir("/proc/self/task"))
product(out, a, a)
lines = open("/proc/self/maps").read().splitlines()
found = {line.split()[-1] for line in lines if "omp" in line.split("/")[-1]}
print(len(os.listdir("/proc/self/task")) - before, *found)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    more, *libraries = done.stdout.split()
    assert more == "2"
    if any(Path(torch.__file__).parent.glob("lib/libgomp*")):
        assert [Path(each).parent.name for each in libraries] == ["lib"]
        assert Path(torch.__file__).parent in Path(libraries[0]).parents


def test_functions_that_no_library_has_are_none():
    assert openmp_functions(["GOMP_parallel", "no_such_function"]) is None
