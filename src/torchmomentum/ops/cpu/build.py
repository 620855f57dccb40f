"""Has the CPU kernels of ``csrc``: those of the wheel, or built once and kept in a cache.

They are plain C++ behind a C interface, compiled for one of the instruction sets of ``isa``: any
compiler does, in seconds, and no version of PyTorch matters. Where neither is, everything else of
the package works without them.

``TORCHMOMENTUM_CPU_KERNELS=off`` leaves them out, ``CXX`` names a compiler to build them with
whatever the wheel has, and ``TORCHMOMENTUM_CACHE`` the folder that they are kept in.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchmomentum._torch_private import openmp_functions
from torchmomentum.ops.cpu.isa import InstructionSet, chosen
from torchmomentum.ops.cpu.trust import (
    UntrustedError,
    check_folder,
    check_kernels,
    checksum_line,
    record_of,
)

SOURCES = Path(__file__).parents[1] / "csrc"
BUNDLED = Path(__file__).parent / "bundled"  # of a wheel
_COMPILE = ("-std=c++17", "-O3", "-fno-exceptions", "-fno-math-errno", "-ffp-contract=fast")
_LINK = {
    "linux": ("-fPIC", "-shared", "-Wl,--as-needed"),
    "win32": ("-shared", "-static"),  # of MinGW's compiler, whose libraries no user has
}.get(sys.platform, ("-fPIC", "-shared"))
_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
_TIMEOUT_S = 300
_TEMPORARY = "build-"  # of the folders in which a build is made


class BuildError(RuntimeError):
    """The CPU kernels could not be built or loaded; the message says why."""


def cache_folder() -> Path:
    """Where built kernels are kept: ``TORCHMOMENTUM_CACHE``, or the user's cache."""
    chosen = os.environ.get("TORCHMOMENTUM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:  # a folder of its own, since others may write the one with data
        return Path(base).expanduser() / "torchmomentum" / "kernels"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"torchmomentum-{os.getuid()}"


def find_compiler() -> list[str]:
    """The command of ``CXX``, or of a compiler that is found.

    Raises:
        BuildError: There is none.
    """
    named = os.environ.get("CXX")
    if named:
        command = shlex.split(named)
        if command and shutil.which(command[0]):
            return command
        raise BuildError(f"CXX names no command that can be found: {named!r}")
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C++ compiler was found (c++, g++ or clang++)")


def _run(command: list[str], scratch: str | None = None) -> str:
    """What a command prints; a compiler's own temporary files go to ``scratch``."""
    environment = os.environ | ({"TMPDIR": scratch} if scratch else {})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def file_name(isa: InstructionSet) -> str:
    """What the kernels of an instruction set are called in a wheel."""
    return f"kernels-{isa.name}{_SUFFIX}"


def _target(compiler: list[str], isa: InstructionSet) -> Path:
    parts = [*compiler, _run([*compiler, "--version"]), *_COMPILE, *_LINK, *isa.flags]
    digest = hashlib.sha256("\0".join(parts).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    return cache_folder() / f"kernels-{isa.name}-{digest.hexdigest()[:16]}{_SUFFIX}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process build and the others wait, where the system can lock files.

    What a build that was killed has left is removed: no other is under way.
    """
    with (folder / "build.lock").open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):  # several may build, and the last to finish is kept
            yield
            return
        for left in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _load(path: Path) -> ctypes.CDLL:
    """The kernels of a file, on PyTorch's threads: a library of their own would compete with it."""
    try:
        kernels = ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"the kernels do not load: {error}") from error
    names = ("GOMP_parallel", "GOMP_barrier", "omp_get_num_threads", "omp_get_thread_num")
    threads = openmp_functions(names)
    if threads is not None:
        kernels.use_threads(*(ctypes.cast(each, ctypes.c_void_p) for each in threads))
    return kernels


def compile_for(isa: InstructionSet, target: Path, compiler: list[str] | None = None) -> None:
    """Compiles the kernels beside the target, then moves the finished file there.

    Args:
        isa: The instruction set.
        target: The file.
        compiler: The command; None looks for one.

    Raises:
        BuildError: There is no compiler, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=target.parent) as folder:
        linked = Path(folder) / target.name
        command = [*(compiler or find_compiler()), *_COMPILE, *isa.flags, *_LINK]
        _run([*command, str(SOURCES / "kernels.cpp"), "-o", str(linked)], folder)
        linked.chmod(0o755)  # whatever the umask: nobody else may write it
        _move(linked, target)


def _move(file: Path, target: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
    file.replace(target)


def _record(target: Path) -> None:
    """Records the checksum of kernels: from then on they are trusted."""
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=target.parent) as folder:
        written = Path(folder) / "record"
        written.write_text(checksum_line(target))
        written.chmod(0o644)
        _move(written, record_of(target))


def _is_trusted(target: Path, *, say: bool) -> bool:
    """Whether kernels are in the cache and may be loaded; may say why those that are there not."""
    try:
        check_kernels(target)
    except (UntrustedError, OSError) as error:
        if say and os.path.lexists(target):
            missing = isinstance(error, FileNotFoundError)
            _say(f"{record_of(target)} is missing" if missing else str(error))
        return False
    return True


def _say(words: str) -> None:
    print(f"torchmomentum: {words}", file=sys.stderr, flush=True)


def _built(target: Path, compiler: list[str], isa: InstructionSet, *, force: bool) -> Path:
    """The target, built unless another process has done it meanwhile."""
    with _locked(target.parent):
        if not force and _is_trusted(target, say=True):
            return target
        _say("building the CPU kernels, once ...")
        start = time.perf_counter()
        compile_for(isa, target, compiler)
        try:
            _load(target)
        except BuildError:
            target.unlink()
            raise
        _record(target)
        _say(f"built in {time.perf_counter() - start:.1f} s, kept as {target}")
    return target


def build(*, force: bool = False) -> Path:
    """Builds the CPU kernels for this machine, unless the wheel or the cache has them.

    Kernels of the cache are used if they are this user's and as they were built, see
    :mod:`torchmomentum.ops.cpu.trust`. Those of the wheel are trusted as the package is.

    Args:
        force: Builds them anew.

    Returns:
        The shared library's file.

    Raises:
        BuildError: There is no compiler, or it fails, or the cache cannot be written, or others
            can write it.
        ValueError: As :func:`torchmomentum.ops.cpu.isa.chosen`.
    """
    isa = chosen()
    if isa is None:
        raise BuildError("this processor has none of the instruction sets that they are made for")
    bundled = BUNDLED / file_name(isa)
    if bundled.exists() and not force and "CXX" not in os.environ:
        return bundled
    compiler = find_compiler()
    target = _target(compiler, isa)
    try:
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        target = check_folder(target.parent) / target.name
        if not force and _is_trusted(target, say=False):  # a folder of root's cannot be locked
            return target
        return _built(target, compiler, isa, force=force)
    except UntrustedError as error:
        raise BuildError(f"{error}; TORCHMOMENTUM_CACHE names another folder") from error
    except OSError as error:
        raise BuildError(
            f"{target.parent} cannot be written ({error}); TORCHMOMENTUM_CACHE names another folder"
        ) from error


@functools.cache
def library() -> ctypes.CDLL | None:
    """The CPU kernels, built where need be; None where they cannot be had, with one warning.

    Raises:
        ValueError: As :func:`torchmomentum.ops.cpu.isa.chosen`.
    """
    if os.environ.get("TORCHMOMENTUM_CPU_KERNELS", "").lower() in ("off", "0"):
        return None
    try:
        return _load(build())
    except BuildError as error:
        warnings.warn(
            "torchmomentum runs without its CPU kernels, on PyTorch's: several recurrences are "
            f"slower. {error}. Install a C++ compiler (say g++) and run "
            "'python -m torchmomentum.ops build', or set TORCHMOMENTUM_CPU_KERNELS=off to go on "
            "without this warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
