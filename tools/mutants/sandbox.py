"""A copy of the checkout in which one file may be mutated, and processes that run tests in it."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.mutants.operators import Mutant

TIMED_OUT = -1
_MEMORY = 24 << 30  # address space, of which PyTorch maps much and uses little


class Sandbox:
    """A copy of all files that git knows or does not ignore.

    Subprocesses of tests find the mutated package too, by ``PYTHONPATH``.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mutants-")).resolve()
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=root, text=True
        )
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                target = self.root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, target)

    def write(self, mutant: Mutant) -> Callable[[], None]:
        """Writes a mutant; what it returns takes it back."""
        path = self.root / mutant.file
        source, times = path.read_bytes(), path.stat()
        path.write_bytes(mutant.apply(source))

        def restore() -> None:
            path.write_bytes(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

        return restore

    def remove(self) -> None:
        """Deletes the copy."""
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class Process:
    """A child that runs a function in a sandbox."""

    pid: int
    deadline: float
    log: Path

    def poll(self) -> int | None:
        """Its exit status, :data:`TIMED_OUT`, or None while it runs."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if done:
            self._kill()  # what it has left behind
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() < self.deadline:
            return None
        self._kill()
        os.waitpid(self.pid, 0)
        return TIMED_OUT

    def wait(self) -> int:
        """Waits for the exit status."""
        while (found := self.poll()) is None:
            time.sleep(0.01)
        return found

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # the group is the child's own


def fork(sandbox: Sandbox, action: Callable[[], int], seconds: float) -> Process:
    """Runs ``action`` in a child, which has all that this process has imported."""
    log = sandbox.root / "mutants.log"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Process(pid, time.monotonic() + seconds, log)
    code = 70
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        os.environ["PYTHONPATH"] = str(sandbox.root / "src")
        code = action()
    except BaseException:  # noqa: BLE001 - the child must not return into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def keep(path: Path, value: object) -> None:
    """What a child leaves for its parent."""
    path.write_bytes(pickle.dumps(value))


def kept(path: Path) -> object:
    """What a child has left; both are this program."""
    return pickle.loads(path.read_bytes())
