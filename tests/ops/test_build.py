import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops.cpu import build as _build
from torchmomentum.ops.cpu.library import available

compiler = pytest.mark.skipif(not available(), reason="no C++ compiler here")


@pytest.fixture
def fresh(monkeypatch):
    """Asks for the kernels as a new process would."""
    _build.library.cache_clear()
    yield monkeypatch
    _build.library.cache_clear()


def _stand_in(folder, refused="nothing"):
    """A compiler that optimizes nothing, to be quick, and refuses some arguments."""
    script, real = folder / "c++", " ".join(_build._compiler())
    script.write_text(f'#!/bin/sh\ncase "$*" in {refused}) exit 1;; esac\nexec {real} "$@" -O0\n')
    script.chmod(0o755)
    return str(script)


@compiler
def test_builds_once_for_several_processes(tmp_path):
    command = [sys.executable, "-m", "torchmomentum.ops", "build"]
    environment = os.environ | {"TORCHMOMENTUM_CACHE": str(tmp_path), "CXX": _stand_in(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len({out for out, _ in ended}) == 1
    assert sum("building" in err for _, err in ended) == 1
    assert [path.suffix for path in tmp_path.glob("kernels-*")] == [".so"]


def test_without_a_compiler_there_is_one_warning_and_the_same_result(fresh, tmp_path):
    torch.manual_seed(0)
    layers = [tnn.MomentumLSTM(3, 4), tnn.AdamLSTM(3, 4), tnn.MomentumGRU(3, 4)]
    x = torch.randn(5, 2, 3)
    expected = [layer(x)[0] for layer in layers]
    _build.library.cache_clear()
    fresh.delenv("CXX", raising=False)
    fresh.setenv("PATH", str(tmp_path))
    with pytest.warns(RuntimeWarning, match=r"no C\+\+ compiler.*torchmomentum.ops build") as seen:
        found = [layer(x)[0] for layer in layers]
    assert len(seen) == 1
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@compiler
def test_other_flags_are_other_kernels():
    compiler = _build._compiler()
    assert _build._target(compiler) != _build._target([*compiler, "-mno-avx512f"])


@compiler
def test_bfloat16_without_an_instruction_for_it(tmp_path):
    """What most processors run: the same kernels, built as for one without AVX-512."""
    found = _build._compiler()
    try:
        _build._run([*found, "-mno-avx512f", "--version"])
        _build._run([*found, "-mno-avx512f", "-fsyntax-only", "-x", "c++", os.devnull])
    except _build.BuildError:
        pytest.skip("no compiler for x86 here")
    script = """
import torch
from torchmomentum.ops import product
torch.manual_seed(0)
a, b, start = torch.randn(40, 601), torch.randn(601, 130), torch.randn(130)
out = torch.empty(40, 130)
product(out, a, b, start, bfloat16=True)
expected = start + a.bfloat16().double() @ b.bfloat16().double()
torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4, check_dtype=False)
special = torch.tensor([float("inf"), float("nan"), 3.3895e38, 1e-40, -0.0])
out = torch.zeros(5, 1)
product(out, special[:, None], torch.ones(1, 1), None, bfloat16=True)
expected = special.bfloat16().float()
torch.testing.assert_close(out[:, 0], expected, equal_nan=True, rtol=0, atol=1e-39)
"""
    stand_in = f"{_stand_in(tmp_path)} -mno-avx512f"
    environment = {"CXX": stand_in, "TORCHMOMENTUM_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "building the CPU kernels" in done.stderr


def test_turned_off_without_a_warning(fresh):
    fresh.setenv("TORCHMOMENTUM_CPU_KERNELS", "off")
    assert not available()


def test_failures_are_told(fresh, tmp_path):
    fresh.setenv("CXX", "no-such-compiler")
    with pytest.raises(_build.BuildError, match="no-such-compiler"):
        _build.build()
    broken = tmp_path / "c++"
    broken.write_text('#!/bin/sh\necho broken >&2\ntest "$1" = --version\n')
    broken.chmod(0o755)
    fresh.setenv("CXX", str(broken))
    fresh.setenv("TORCHMOMENTUM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(_build.BuildError, match="broken"):
        _build.build()
    blocked = tmp_path / "file"
    blocked.write_text("")
    fresh.setenv("TORCHMOMENTUM_CACHE", str(blocked))
    with pytest.raises(_build.BuildError, match="cannot be written"):
        _build.build()


@compiler
def test_a_compiler_without_openmp_builds_for_one_thread(fresh, tmp_path):
    fresh.setenv("CXX", _stand_in(tmp_path, "*-fopenmp*|*libgomp*|*libiomp*|*libomp*"))
    fresh.setenv("TORCHMOMENTUM_CACHE", str(tmp_path / "cache"))
    assert _build._load(str(_build.build())).packed_size(2, 3) > 0


def test_the_openmp_library_is_pytorchs_where_it_has_one(monkeypatch):
    monkeypatch.setattr(_build, "openmp_library", lambda: None)
    assert _build._openmp() == ["-fopenmp"]
    monkeypatch.setattr(_build, "openmp_library", lambda: Path("lib/libgomp.so.1"))
    assert _build._openmp() == ["lib/libgomp.so.1"]


def test_a_command_that_does_not_run_is_named():
    with pytest.raises(_build.BuildError, match="/no/such/compiler did not run"):
        _build._run(["/no/such/compiler"])
    with pytest.raises(_build.BuildError, match="more about it"):
        _build._run([sys.executable, "-c", "import sys; sys.exit('more about it')"])
    assert _build._run([sys.executable, "-c", "print(3)"]) == "3\n"


@compiler
def test_the_time_of_each_kernel_is_kept():
    from torchmomentum.ops.cpu import library

    a, out = torch.ones(4, 4), torch.empty(4, 4)
    with library.timed() as seconds:
        library.product(out, a, a, torch.zeros(4))
        first = seconds["matrix_product"]
        library.product(out, a, a, torch.zeros(4))
    assert 0 < first < seconds["matrix_product"] < 0.5
    thirds = torch.full((4, 4), 1 / 3)
    library.product(out, thirds, a, torch.zeros(4))
    torch.testing.assert_close(
        out, torch.full((4, 4), 4 / 3)
    )  # of float32, as nothing else is said
