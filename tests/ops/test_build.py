import hashlib
import os
import pathlib
import re
import signal
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
    assert sorted(path.suffix for path in tmp_path.glob("kernels-*")) == [".sha256", ".so"]


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


class _Cache:
    """A cache whose kernels a script pretends to compile: it copies a small library."""

    def __init__(self, folder, patch):
        self.folder, self.tools = folder / "cache", folder / "tools"
        self.tools.mkdir()
        source = self.tools / "small.c"
        source.write_text("void use_threads(void *a, void *b, void *c, void *d) {}\n")
        self.small, self.script = self.tools / "small.so", self.tools / "c++"
        link = [*_build.find_compiler(), "-x", "c", *_build._LINK, str(source)]
        subprocess.run([*link, "-o", str(self.small)], check=True)
        self.compile_by("cp " + str(self.small))
        patch.setenv("CXX", str(self.script))
        patch.setenv("TORCHMOMENTUM_CACHE", str(self.folder))

    def compile_by(self, command):
        """Lets a shell command, to which the file to write is added, stand in for the compiler."""
        self.script.write_text(
            '#!/bin/sh\nif [ "$1" = --version ]; then exit; fi\n'
            f"echo >> {self.tools}/builds\nfor last; do :; done\n{command} $last\n"
        )
        self.script.chmod(0o755)

    def builds(self):
        """How often something was compiled."""
        path = self.tools / "builds"
        return len(path.read_text()) if path.exists() else 0

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def cache(fresh, tmp_path):
    if not available():
        pytest.skip("no C++ compiler here")
    before = os.umask(0o002)  # with which a compiler's files may be written by a group
    yield _Cache(tmp_path, fresh)
    os.umask(before)


def test_kernels_of_the_cache_are_built_once_with_their_checksum(cache):
    kernels = _build.build()
    record = kernels.with_name(f"{kernels.name}.sha256")
    assert (
        record.read_text()
        == f"{hashlib.sha256(kernels.read_bytes()).hexdigest()}  {kernels.name}\n"
    )
    assert _build.build() == kernels
    assert cache.builds() == 1
    assert cache.names() == ["build.lock", kernels.name, record.name]
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert kernels.stat().st_mode & 0o777 == 0o755
    assert _build.build(force=True) == kernels
    assert cache.builds() == 2


def _exchange(kernels, content):
    kernels.unlink()  # this process may have it loaded
    kernels.write_bytes(content)
    kernels.chmod(0o755)


def _cut(kernels, record):
    _exchange(kernels, kernels.read_bytes()[:-100])


def _change(kernels, record):
    content = bytearray(kernels.read_bytes())
    content[len(content) // 2] ^= 1
    _exchange(kernels, content)


def _link(path):
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "is not as it was built"),
        (_change, "is not as it was built"),
        (lambda kernels, record: record.unlink(), r"\.sha256 is missing"),
        (lambda kernels, record: record.write_text(""), "is not as it was built"),
        (lambda kernels, record: _link(kernels), "is no regular file"),
        (lambda kernels, record: _link(record), "is no regular file"),
        (lambda kernels, record: kernels.chmod(0o775), "may be written by others"),
        (lambda kernels, record: record.chmod(0o646), "may be written by others"),
    ],
)
def test_kernels_that_are_not_trusted_are_built_anew(cache, capfd, damage, words):
    kernels = _build.build()
    expected = kernels.read_bytes()
    damage(kernels, kernels.with_name(f"{kernels.name}.sha256"))
    capfd.readouterr()
    assert _build.build() == kernels
    told = capfd.readouterr().err.splitlines()
    assert re.search(words, told[0])
    assert [line.partition(":")[2][:9] for line in told[1:]] == [" building", " built in"]
    assert cache.builds() == 2
    assert kernels.read_bytes() == expected
    assert _build.build() == kernels
    assert cache.builds() == 2


def _of_another(patch, name, chosen):
    """Lets some paths belong to another user, for ``Path.stat`` or ``Path.lstat``."""
    real = getattr(pathlib.Path, name)

    def seen(path, **options):
        about = real(path, **options)
        if path != chosen:
            return about
        fields = list(about)
        fields[4] = os.geteuid() + 1  # the owner
        return os.stat_result(fields)

    patch.setattr(pathlib.Path, name, seen)


def test_kernels_of_another_user_are_built_anew(cache, fresh, capfd):
    kernels = _build.build()
    fresh.setattr("torchmomentum.ops.cpu.trust._ROOT", os.geteuid() + 2)
    with fresh.context() as patch:
        _of_another(patch, "lstat", kernels)
        assert _build.build() == kernels
    assert "belongs to another user" in capfd.readouterr().err
    assert cache.builds() == 2


def test_a_folder_that_others_may_write_is_not_used(cache, fresh, tmp_path):
    """Nor one that others may exchange."""
    fresh.setattr("torchmomentum.ops.cpu.trust._ROOT", os.geteuid() + 2)
    _build.build()
    for mode in (0o770, 0o702):
        cache.folder.chmod(mode)
        with pytest.raises(_build.BuildError, match=r"cache may be written by others; TORCHM"):
            _build.build()
    cache.folder.chmod(0o700)
    tmp_path.chmod(0o777)
    with pytest.raises(_build.BuildError, match="may be written by others"):
        _build.build()
    tmp_path.chmod(0o1777)  # as /tmp
    _build.build()
    assert cache.builds() == 1
    with fresh.context() as patch:
        _of_another(patch, "stat", cache.folder)
        with pytest.raises(_build.BuildError, match="cache belongs to another user"):
            _build.build()


def test_a_folder_within_another_users_in_tmp_is_not_used(cache, fresh, tmp_path):
    fresh.setattr("torchmomentum.ops.cpu.trust._ROOT", os.geteuid() + 2)
    tmp_path.chmod(0o1777)
    between = tmp_path / "between"
    between.mkdir()
    fresh.setenv("TORCHMOMENTUM_CACHE", str(between / "cache"))
    _build.build()
    with fresh.context() as patch:
        _of_another(patch, "stat", between)
        with pytest.raises(_build.BuildError, match="between belongs to another user"):
            _build.build()


def test_a_link_to_the_cache_is_followed_once(cache, fresh, tmp_path):
    (tmp_path / "link").symlink_to(cache.folder)
    cache.folder.mkdir(mode=0o700)
    fresh.setenv("TORCHMOMENTUM_CACHE", str(tmp_path / "link"))
    assert _build.build().parent == cache.folder


def test_a_build_that_was_killed_leaves_nothing_that_is_trusted(cache):
    """Killed in the compiler, and between the finished file and its record."""
    kernels = _build.build()
    expected, record = kernels.read_bytes(), kernels.with_name(f"{kernels.name}.sha256")
    for path in (kernels, record):
        path.unlink()
    cache.compile_by(f"head -c 1000 {cache.small} > $last; kill -9 $PPID; true")
    command = [sys.executable, "-m", "torchmomentum.ops", "build"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    left = [name for name in cache.names() if name.startswith("build-")]
    assert len(left) == 1
    assert not kernels.exists()
    kernels.write_bytes(expected[:1000])  # of a build that got so far
    cache.compile_by(f"cp {cache.small}")
    assert _build.build() == kernels
    assert kernels.read_bytes() == expected
    assert cache.names() == ["build.lock", kernels.name, record.name]


def test_kernels_that_do_not_load_are_not_kept(cache):
    cache.compile_by("echo no library >")
    with pytest.raises(_build.BuildError, match="the kernels do not load"):
        _build.build()
    assert cache.names() == ["build.lock"]


def test_what_the_compiler_leaves_is_removed(cache):
    cache.compile_by(
        'test "$TMPDIR" = "$(dirname $last)" && touch $TMPDIR/cc.o && cp ' + str(cache.small)
    )
    _build.build()
    assert not [name for name in cache.names() if name.startswith("build-")]


def test_a_folder_that_is_only_read_is_enough(cache, fresh):
    kernels = _build.build()
    (cache.folder / "build.lock").unlink()
    fresh.setattr(_build, "_locked", lambda folder: pytest.fail("locked"))
    assert _build.build() == kernels
