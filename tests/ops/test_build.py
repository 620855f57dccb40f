import os
import subprocess
import sys

import pytest
import torch

import torchmomentum.nn as tnn
from torchmomentum.ops.cpu import build as _build
from torchmomentum.ops.cpu.isa import supported
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
    script, real = folder / "c++", " ".join(_build.find_compiler())
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
def test_other_flags_and_sets_are_other_kernels():
    compiler, known = _build.find_compiler(), supported()
    targets = {_build._target([*compiler, flag], isa) for flag in ("-g", "-O2") for isa in known}
    assert len(targets) == 2 * len(known)


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
