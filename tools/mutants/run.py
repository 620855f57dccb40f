"""Runs the mutants of one module: first the tests that cover the line, then all of them."""

from __future__ import annotations

import dataclasses
import math
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools.mutants.operators import Mutant, mutants_of
from tools.mutants.plugin import IMPORTED, Coverage, Selection, run_pytest
from tools.mutants.sandbox import TIMED_OUT, Process, Sandbox, fork, keep, kept

_OK = 0
_NONE_COLLECTED = 5
_BASELINE_SECONDS = 3600.0


@dataclasses.dataclass(frozen=True)
class Module:
    """A part of the package and its tests, as globs."""

    name: str
    source: tuple[str, ...]
    tests: tuple[str, ...]
    always: tuple[str, ...] = ()


class BaselineError(RuntimeError):
    """The tests fail without any mutant."""


def matching(root: Path, globs: Iterable[str]) -> list[str]:
    """Files that globs name, each once; a folder stands for the tests in it."""
    found: list[str] = []
    for glob in globs:
        paths = sorted(root.glob(glob))
        for path in paths:
            inside = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
            found += [str(p.relative_to(root)) for p in inside]
    return list(dict.fromkeys(found))


@dataclasses.dataclass
class Known:
    """What the run without a mutant has shown."""

    files: list[str]
    seconds: dict[str, float]
    covering: dict[tuple[str, int], list[str]]
    always: list[str]

    def tests(self, mutant: Mutant, budget: float = math.inf) -> list[str]:
        """Tests that may notice, the quickest first; all of them where it runs at import.

        Args:
            mutant: The mutant.
            budget: Seconds after which further tests are left out.
        """
        lines = range(mutant.lines[0], mutant.lines[1] + 1)
        found = {t for line in lines for t in self.covering.get((mutant.file, line), ())}
        if IMPORTED in found:
            found = set(self.seconds)
        chosen, spent = [], 0.0
        for test in sorted(found | set(self.always), key=self.seconds.__getitem__):
            spent += self.seconds[test]
            if spent > budget and chosen:
                break
            chosen.append(test)
        return chosen

    def limit(self, tests: Iterable[str]) -> float:
        """Seconds after which a run counts as hung."""
        return 30 + 6 * sum(self.seconds[test] for test in tests)


def baseline(sandbox: Sandbox, module: Module) -> Known:
    """Runs the tests as they are, traced; again, not traced, those that fail so.

    Raises:
        BaselineError: Some fail, or there are none.
    """
    root, files = sandbox.root, matching(sandbox.root, module.tests)
    if not files:
        raise BaselineError(f"{module.name}: no tests match {list(module.tests)}")

    def traced() -> int:
        sources = matching(root, module.source)
        coverage = Coverage(str(root / file) for file in sources)
        coverage.start()
        run_pytest(root, files, [coverage], first_failure=False)
        keep(root / "coverage", (dict(coverage.lines), coverage.seconds, coverage.failed))
        return _OK

    process = fork(sandbox, traced, _BASELINE_SECONDS)
    if process.wait() != _OK:
        raise BaselineError(f"{module.name}: tracing failed\n{process.log.read_text()}")
    lines, seconds, failed = kept(root / "coverage")  # type: ignore[misc]
    if failed or not seconds:
        again = [Selection(sorted(failed))] if seconds else []
        process = fork(sandbox, lambda: run_pytest(root, files, again), _BASELINE_SECONDS)
        if process.wait() != _OK:
            raise BaselineError(f"{module.name}: tests fail unmutated\n{process.log.read_text()}")
    covering: dict[tuple[str, int], list[str]] = {}
    for test, places in lines.items():
        for path, line in places:
            covering.setdefault((str(Path(path).relative_to(root)), line), []).append(test)
    blind = matching(root, module.always)
    always = [t for t in seconds if t in failed or t.split("::")[0] in blind]
    return Known(files, seconds, covering, always)


def sample(sandbox: Sandbox, module: Module, count: int | None, seed: int) -> tuple[list, int]:
    """The module's mutants, or so many of them drawn by chance; and how many there are."""
    root = sandbox.root
    files = matching(root, module.source)
    found = [m for file in files for m in mutants_of((root / file).read_bytes(), file)]
    total = len(found)
    if count is not None and count < total:
        chosen = sorted(random.Random(seed).sample(range(total), count))
        found = [found[i] for i in chosen]
    return found, total


def _start(sandbox: Sandbox, known: Known, tests: list[str]) -> Process:
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    selection = Selection(tests)
    action = lambda: run_pytest(sandbox.root, files, [selection])  # noqa: E731
    return fork(sandbox, action, known.limit(tests))


def _killed(status: int) -> bool:
    return status not in (_OK, _NONE_COLLECTED)


def judge(
    sandboxes: list[Sandbox], known: Known, mutants: list[Mutant], budget: float | None = None
) -> list[str]:
    """Whether each mutant is ``killed``, ends in a ``timeout``, or has ``survived``.

    Args:
        sandboxes: Copies of the checkout; so many mutants run at a time.
        known: What :func:`baseline` returned.
        mutants: The mutants.
        budget: Seconds of covering tests that a mutant meets; None for these and all others.
    """
    verdicts = ["survived"] * len(mutants)
    # a mutant that its covering tests let live meets all the others after that
    least = math.inf if budget is None else budget
    queue = [(i, known.tests(m, least), budget is None) for i, m in enumerate(mutants)][::-1]
    free, running = list(sandboxes), {}
    began, done = time.monotonic(), 0
    while queue or running:
        while queue and free:
            i, tests, again = queue.pop()
            sandbox = free.pop()
            restore = sandbox.write(mutants[i])
            running[i] = sandbox, restore, _start(sandbox, known, tests), tests, again
        for i, (sandbox, restore, process, tests, again) in list(running.items()):
            status = process.poll()
            if status is None:
                continue
            restore()
            free.append(sandbox)
            del running[i]
            rest = set(known.seconds) - set(tests)
            if not _killed(status) and again and rest:
                queue.append((i, sorted(rest, key=known.seconds.__getitem__), False))
                continue
            if _killed(status):
                verdicts[i] = "timeout" if status == TIMED_OUT else "killed"
            done += 1
            minutes = (time.monotonic() - began) / 60
            left = minutes / done * (len(mutants) - done)
            show = f"\r{done}/{len(mutants)} {verdicts[i]:8} {left:5.1f} minutes left "
            print(show, end="", file=sys.stderr, flush=True)
        time.sleep(0.01)
    print(file=sys.stderr)
    return verdicts
