#!/usr/bin/env python3
"""Runs the tests on several versions of Python and PyTorch, each in an environment of its own.

    python3 tools/matrix.py                                  # 3.10 and 3.13 by 2.8.0 and newest
    python3 tools/matrix.py --only 3.10:2.8.0 -- tests/nn -m "not slow"

What stands behind ``--`` goes to pytest. An environment takes up to 8 GB, since PyPI's PyTorch for
x86-64 comes with CUDA; it is deleted before the next one is made. The package is installed as a
user installs it, without ``constraints.txt``, which pins versions for one Python only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.13")
TORCHES = ("2.8.0", "newest")


@dataclass
class Outcome:
    """What came of one combination."""

    python: str
    torch: str
    minutes: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether tests ran, and none failed."""
        return not self.problem and not self.failed and self.counts.get("passed", 0) > 0


def find_python(version: str) -> str | None:
    """An interpreter of a version: a path, a command on PATH, or one of pyenv's."""
    candidates = [version] if "/" in version else [f"python{version}"]
    root = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    candidates += [str(p) for p in sorted(Path(root).glob(f"versions/{version}*/bin/python"))]
    wanted = re.compile(rf"Python {re.escape(version)}(\.|$)" if "/" not in version else "Python ")
    for candidate in candidates:
        try:  # pyenv puts commands on PATH that only say that they are not enabled
            asked = [candidate, "--version"]
            found = subprocess.run(asked, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if found.returncode == 0 and wanted.match(found.stdout):
            return candidate
    return None


def _install(python: str, folder: Path, torch: str, log: Path) -> None:
    """Makes an environment with PyTorch and the package with all that its tests need."""
    bin_python = str(folder / "bin" / "python")
    pip = [bin_python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-cache-dir"]  # which would keep several GB
    asked = "torch" if torch == "newest" else f"torch=={torch}"
    with log.open("w") as file:
        for command in (
            [python, "-m", "venv", str(folder)],
            [*pip, asked],
            # asked for again, so that no other dependency exchanges it
            [*pip, asked, f"{ROOT}[experiments,dev]"],
        ):
            subprocess.run(command, stdout=file, stderr=file, check=True)


def read_results(path: Path) -> tuple[dict[str, int], list[str]]:
    """How many tests passed, failed and were skipped, and which failed, of pytest's XML."""
    counts, failed = {"passed": 0, "failed": 0, "skipped": 0}, []
    for case in ET.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            counts["skipped"] += 1
        else:
            counts["passed"] += 1
    return counts, failed


def run(version: str, torch: str, folder: Path, arguments: list[str]) -> Outcome:
    """Makes one environment, runs the tests in it, and deletes it."""
    found, began = Outcome(version, torch), time.monotonic()
    name = f"{re.sub('[^0-9.]+', '-', version)}-{torch}"
    environment, log, xml = (folder / f"{name}{end}" for end in ("", ".log", ".xml"))
    xml.unlink(missing_ok=True)
    python = find_python(version)
    if python is None:
        found.problem = "no such Python here"
        return found
    try:
        _install(python, environment, torch, log)
        ask = [str(environment / "bin" / "python"), "-c", "import torch; print(torch.__version__)"]
        found.torch = subprocess.check_output(ask, text=True).strip()
        command = [str(environment / "bin" / "python"), "-m", "pytest", f"--junitxml={xml}"]
        with log.open("a") as file:
            done = subprocess.run(
                [*command, *arguments], cwd=ROOT, stdout=file, stderr=file, check=False
            )
        if xml.exists():
            found.counts, found.failed = read_results(xml)
        if done.returncode and not found.failed:
            found.problem = f"pytest ended with {done.returncode}, see {log}"
    except subprocess.CalledProcessError as error:
        found.problem = f"{error.cmd[1:4]} ended with {error.returncode}, see {log}"
    finally:
        shutil.rmtree(environment, ignore_errors=True)
        found.minutes = (time.monotonic() - began) / 60
    return found


def show(outcomes: list[Outcome]) -> str:
    """The table of what passed, and below it what did not."""
    lines = [f"{'Python':8} {'torch':18} {'passed':>7} {'failed':>7} {'skipped':>8} {'minutes':>8}"]
    for o in outcomes:
        numbers = [o.counts.get(key, "-") for key in ("passed", "failed", "skipped")]
        lines.append(
            f"{o.python:8} {o.torch:18} {numbers[0]:>7} {numbers[1]:>7} {numbers[2]:>8} "
            f"{o.minutes:8.1f}  {'ok' if o.passed else o.problem or 'FAILED'}"
        )
    for o in outcomes:  # one line for all parameters of a test
        found = Counter(name.partition("[")[0] for name in o.failed)
        lines += [f"{o.python} {o.torch}: {name}, {count} failed" for name, count in found.items()]
    return "\n".join(lines)


def main() -> int:
    """Reads the command line, runs every combination, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="PYTHON:TORCH", help="may be repeated")
    parser.add_argument("--folder", type=Path, help="where environments and logs go")
    parser.add_argument("pytest", nargs="*", help="what pytest is given")
    options = parser.parse_args()
    pairs = [(p, t) for p in PYTHONS for t in TORCHES]
    if options.only:
        pairs = [tuple(pair.rsplit(":", 1)) for pair in options.only]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="matrix-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for version, torch in pairs:
        print(f"Python {version}, torch {torch}: log in {folder}", flush=True)
        outcomes.append(run(version, torch, folder, options.pytest))
    print(show(outcomes), flush=True)
    return 0 if all(o.passed for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
