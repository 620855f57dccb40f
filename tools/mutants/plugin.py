"""What the mutation tool adds to a run of pytest: which test runs which line, and what to run."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

IMPORTED = "<import>"


class Coverage:
    """Records the lines of some files that each test runs, how long it takes and if it fails.

    It traces in this process alone: neither what runs in other processes nor what ``torch.compile``
    has compiled is seen. Tests of that kind are named as ``always`` in the map of modules.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files = frozenset(files)
        self.lines: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self._now = self._at_import = self.lines[IMPORTED]

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        # the body of a module or a class runs once, in whichever test is the first to import it
        function = frame.f_code.co_flags & inspect.CO_OPTIMIZED
        return self._line if function else self._import

    def _import(self, frame: FrameType, event: str, arg: object) -> Any:
        self._at_import.add((frame.f_code.co_filename, frame.f_lineno))
        return self._import

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        self._now.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def start(self, test: str = IMPORTED) -> None:
        """From now on lines are this test's."""
        self._now = self.lines[test]
        threading.settrace(self._call)
        sys.settrace(self._call)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Traces one test with its fixtures."""
        self.start(item.nodeid)
        began = time.monotonic()
        yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.seconds[item.nodeid] = time.monotonic() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes which tests cannot be traced."""
        if report.failed:
            self.failed.add(report.nodeid)


class Selection:
    """Runs some tests only, in a given order."""

    def __init__(self, tests: list[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keeps what was selected."""
        items[:] = [item for item in items if item.nodeid in self.place]
        items.sort(key=lambda item: self.place[item.nodeid])


def run_pytest(
    root: Path, files: Iterable[str], plugins: list[object], *, first_failure: bool = True
) -> int:
    """Runs test files on the package under ``root``, in this process."""
    os.chdir(root)
    sys.path[:0] = [str(root / "src"), str(root)]
    options = ["-q", "--no-header", "-p", "no:cacheprovider", f"--rootdir={root}"]
    # of what the parent has imported already, such as Hypothesis
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["-x"] if first_failure else []
    return int(pytest.main([*options, *files], plugins=plugins))
