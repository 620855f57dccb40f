"""Builds the CPU kernels many times at once, and kills builds: ``python -m tools.stress.builds``.

In a new cache, several processes that start at once build once and all load the kernels. Then the
kernels are cut off, and then builds are killed after random times. Whatever came before, the next
process has whole kernels, and the cache has nothing else.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torchmomentum.ops.cpu.trust import check_kernels

_LOAD = "from torchmomentum.ops.cpu.build import library; print(library()._name)"


class StressError(Exception):
    """What should hold of a build did not."""


def _start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _LOAD],
        env=os.environ | {"TORCHMOMENTUM_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process is killed together with its compiler
    )


def _check(condition: object, words: str) -> None:
    if not condition:
        raise StressError(words)


def at_once(cache: Path, processes: int, builds: int = 1) -> Path:
    """Starts several processes on a cache, checks what they did, and returns the kernels.

    Args:
        cache: The cache's folder.
        processes: How many.
        builds: How many of them should build.

    Raises:
        StressError: One failed, or built in vain, or left something behind.
    """
    started = [_start(cache) for _ in range(processes)]
    ended = [process.communicate() for process in started]
    errors = "".join(err for _, err in ended)
    _check(not any(process.returncode for process in started), f"a process failed: {errors}")
    _check(errors.count("building") == builds, f"expected {builds} builds: {errors}")
    loaded = {out.strip() for out, _ in ended}
    _check(len(loaded) == 1, f"expected the same kernels everywhere, got {loaded}")
    kernels = Path(loaded.pop())
    check_kernels(kernels)
    names = {path.name for path in cache.iterdir()}
    expected = {"build.lock", kernels.name, f"{kernels.name}.sha256"}
    _check(names == expected, f"expected {sorted(expected)}, got {sorted(names)}")
    return kernels


def _kill(cache: Path, kernels: Path, after: float) -> str:
    """Kills a build after some seconds; what it left."""
    for path in cache.iterdir():
        path.unlink()
    process = _start(cache)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = sorted(path.name for path in cache.iterdir()) if cache.exists() else []
    complete = kernels.with_name(f"{kernels.name}.sha256").exists()
    at_once(cache, 2, 0 if complete else 1)
    return ", ".join(left) or "nothing"


def main() -> int:
    """Runs the command; 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="tools.stress.builds", description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=8, help="that start at once")
    parser.add_argument("--kills", type=int, default=2, help="builds to kill")
    parser.add_argument("--seed", type=int, default=0, help="of the times at which")
    given = parser.parse_args()
    drawn = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        try:
            start = time.perf_counter()
            kernels = at_once(cache, given.processes)
            took = time.perf_counter() - start
            print(f"{given.processes} at once: one built, all loaded, {took:.1f} s", flush=True)
            content = kernels.read_bytes()
            kernels.write_bytes(content[: drawn.randrange(len(content))])
            at_once(cache, given.processes)
            print("cut off: built anew by one", flush=True)
            for _ in range(given.kills):
                after = drawn.uniform(0, took)
                left = _kill(cache, kernels, after)
                print(f"killed after {after:.1f} s, leaving {left}: built anew", flush=True)
        except StressError as error:
            print(f"tools.stress.builds: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
