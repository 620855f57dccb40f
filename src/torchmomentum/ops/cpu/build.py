"""Builds the CPU kernels of ``csrc`` once for this machine, keeps them in a cache, loads them.

They are plain C++ behind a C interface: any compiler does, in seconds, and no version of PyTorch
matters. Where there is none, everything else of the package works without them.

``TORCHMOMENTUM_CPU_KERNELS=off`` leaves them out, ``CXX`` names the compiler and
``TORCHMOMENTUM_CACHE`` the folder that they are kept in.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
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

from torchmomentum._torch_private import openmp_library

SOURCES = Path(__file__).parents[1] / "csrc"
_COMPILE = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-fPIC")
_NATIVE = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
_TIMEOUT_S = 300


class BuildError(RuntimeError):
    """The CPU kernels could not be built or loaded; the message says why."""


def cache_folder() -> Path:
    """Where built kernels are kept: ``TORCHMOMENTUM_CACHE``, or the user's cache."""
    chosen = os.environ.get("TORCHMOMENTUM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "torchmomentum"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"torchmomentum-{os.getuid()}"


def _compiler() -> list[str]:
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


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def _processor() -> str:
    """What tells machines apart that share a home folder: not all run the same kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = [line for line in lines if line.lower().startswith(("flags", "features", "model name"))]
    return "\n".join(dict.fromkeys(found))


def _openmp() -> list[str]:
    """The OpenMP library that PyTorch has loaded: a second one would bring threads of its own."""
    found = openmp_library()
    return ["-fopenmp"] if found is None else [str(found)]


def _target(compiler: list[str]) -> Path:
    parts = [
        *compiler,
        _run([*compiler, "--version"]),
        _processor(),
        *_COMPILE,
        _NATIVE,
        *_openmp(),
    ]
    digest = hashlib.sha256("\0".join(parts).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    return cache_folder() / f"kernels-{digest.hexdigest()[:16]}.so"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process build and the others wait, where the system can lock files."""
    try:
        import fcntl
    except ImportError:  # Windows: several may build, and the last to finish is kept
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _load(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise BuildError(f"the built kernels do not load: {error}") from error


def _compile(compiler: list[str], target: Path) -> None:
    """Compiles and links beside the target, then moves the finished file there."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        compiled, linked = str(Path(folder) / "kernels.o"), str(Path(folder) / "kernels.so")
        source = str(SOURCES / "kernels.cpp")
        common = [*compiler, *_COMPILE, _NATIVE]
        try:
            _run([*common, "-fopenmp", "-c", source, "-o", compiled])
            _run([*compiler, "-shared", compiled, *_openmp(), "-o", linked])
            _load(linked)
        except BuildError:  # a compiler without this OpenMP: one thread is better than none
            _run([*common, "-c", source, "-o", compiled])
            _run([*compiler, "-shared", compiled, "-o", linked])
            _load(linked)
        with open(linked, "rb") as file:
            os.fsync(file.fileno())
        os.replace(linked, target)


def build(*, force: bool = False) -> Path:
    """Builds the CPU kernels for this machine, unless the cache has them.

    Args:
        force: Builds them anew.

    Returns:
        The shared library's file.

    Raises:
        BuildError: There is no compiler, or it fails, or the cache cannot be written.
    """
    compiler = _compiler()
    target = _target(compiler)
    if target.exists() and not force:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / "build.lock"):
            if target.exists() and not force:
                return target
            print("torchmomentum: building the CPU kernels, once ...", file=sys.stderr, flush=True)
            start = time.perf_counter()
            _compile(compiler, target)
    except OSError as error:
        raise BuildError(
            f"{target.parent} cannot be written ({error}); TORCHMOMENTUM_CACHE names another folder"
        ) from error
    took = time.perf_counter() - start
    print(f"torchmomentum: built in {took:.1f} s, kept as {target}", file=sys.stderr, flush=True)
    return target


@functools.cache
def library() -> ctypes.CDLL | None:
    """The CPU kernels, built where need be; None where they cannot be had, with one warning."""
    if os.environ.get("TORCHMOMENTUM_CPU_KERNELS", "").lower() in ("off", "0"):
        return None
    try:
        return _load(str(build()))
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
