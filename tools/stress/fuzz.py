"""Feeds damaged and hostile files to every loader of data: ``python -m tools.stress.fuzz``.

Whatever a file holds, a loader gives well-formed tensors, or one ``UsageError`` of one line. It
raises nothing else, runs nothing, writes nothing, does not hang, and takes no more memory than a
limit. Each loader runs in a process of its own. Checksums are bypassed for nine of ten files,
which they would all end at; of the others nothing may be loaded but what the whole file gives.

What is damaged how is fixed by the seed, the loader and a number. The bytes of a violation are
kept under ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tools.stress import pictures, sequences
from tools.stress.mutations import mutate
from tools.stress.subjects import Spot, Subject
from torchmomentum.experiments.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
LOADERS: dict[str, Callable[[Path], Subject]] = {
    "mnist": pictures.mnist_files_of,
    "cifar10": pictures.cifar_archive,
    "cifar10-unpacked": pictures.cifar_folder,
    "cifar10-jpeg": pictures.cifar_jpeg,
    "imagenet": pictures.imagenet_folder,
    "imagenet-shards": pictures.imagenet_shards,
    "timit": sequences.timit,
    "spoken-digits": sequences.digits,
    "ptb": sequences.ptb,
    "tinyshakespeare": sequences.words,
    "text": sequences.own_text,
}
_CHECKED = 10  # of so many files one meets the checksums
_HANGS = 60  # seconds
_ENDINGS = r"\.(gz|npz|zip|tar|txt|jpe?g|png|wav|\*)|batch|ubyte"


class ViolationError(Exception):
    """A loader did what it should not; the message says what."""


class Attack:
    """A loader and its small files in a folder.

    Args:
        loader: A name of ``LOADERS``.
        folder: An empty folder, the current one where commands are to be found out.
        seed: Fixes the damage.
    """

    def __init__(self, loader: str, folder: Path, seed: int) -> None:
        self._subject, self._folder = LOADERS[loader](folder), folder
        self._loader, self._seed = loader, seed
        for spot in self._subject.spots.values():
            spot.write(spot.content)
        self._files = self._listed()
        self._whole = self._load(checked=True)

    def _listed(self) -> list[str]:
        return sorted(str(path) for path in self._folder.rglob("*"))

    def _load(self, *, checked: bool) -> Sequence[Tensor]:
        with self._subject.patched(checked=checked):
            return self._subject.load()

    def damaged(self, index: int) -> tuple[Spot, bytes]:
        """What is damaged at an index, and its bytes; hostile files come first."""
        if index < len(self._subject.hostile):
            name, content = self._subject.hostile[index]
            return self._subject.spots[name], content
        drawn = random.Random(f"{self._seed} {self._loader} {index}")
        spot = drawn.choice(list(self._subject.spots.values()))
        return spot, mutate(spot.content, drawn)

    def run(self, index: int) -> bool:
        """Whether the file of an index was loaded; if not it was rejected in one line.

        Raises:
            ViolationError: Neither.
        """
        spot, content = self.damaged(index)
        spot.write(content)
        checked = index % _CHECKED == 0
        try:
            found = self._load(checked=checked)
        except UsageError as error:
            self._look_at(error)
            return False
        except Exception as error:
            raise ViolationError(f"{type(error).__name__}: {error}") from error
        finally:
            spot.write(spot.content)
            if self._listed() != self._files:
                raise ViolationError(f"it left {set(self._listed()) ^ set(self._files)}")
        problem = self._subject.problem(found)
        if problem:
            raise ViolationError(f"it gave {problem}")
        if checked and self._subject.checks and not _same(found, self._whole):
            raise ViolationError("it gave what the checksums forbid")
        return True

    def _look_at(self, error: UsageError) -> None:
        words = str(error)
        if not words.isprintable() or len(words) > 1000:
            raise ViolationError(f"its error is not a short line: {words[:2000]!r}")
        if not re.search(_ENDINGS, words) and str(self._folder) not in words:
            raise ViolationError(f"its error names no file: {words}")


def _same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


def _child(loader: str, seed: int, first: int, count: int, megabytes: int) -> None:
    """Runs a part of a loader's files; prints each number before its file, and a summary."""
    import resource

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where a command that is run leaves its mark
        attack = Attack(loader, Path(folder), seed)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, loaded = time.perf_counter(), 0
        for index in range(first, count):
            print(index, flush=True)
            faulthandler.dump_traceback_later(_HANGS, exit=True)
            try:
                loaded += attack.run(index)
            except ViolationError as error:
                print(json.dumps({"index": index, "violation": str(error)}), flush=True)
        faulthandler.cancel_dump_traceback_later()
        summary = {
            "loaded": loaded,
            "peak": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10,
            "seconds": time.perf_counter() - start,
        }
        print(json.dumps(summary), flush=True)


def _keep(loader: str, seed: int, index: int, words: str) -> None:
    """Keeps the bytes of a violation, and prints it."""
    kept = ROOT / "build" / "fuzz" / f"{loader}-{seed}-{index}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        kept.write_bytes(Attack(loader, Path(folder), seed).damaged(index)[1])
    print(f"{loader}, seed {seed}, number {index}: {words}\n  bytes in {kept}", flush=True)


def fuzz(loader: str, seed: int, count: int, megabytes: int) -> int:
    """Runs all of a loader's files, prints a line of the table, and returns the violations.

    Args:
        loader: A name of ``LOADERS``.
        seed: Fixes the damage.
        count: Files.
        megabytes: Memory that a loader may take beyond that for whole files.
    """
    first, total = 0, {"loaded": 0, "peak": 0, "seconds": 0.0}
    found: list[tuple[int, str]] = []
    while first < count:
        arguments = [loader, seed, first, count, megabytes]
        command = [sys.executable, "-m", "tools.stress.fuzz", "--child", *map(str, arguments)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        told = [line for line in lines if isinstance(line, dict) and "violation" in line]
        found += [(line["index"], line["violation"]) for line in told]
        last = lines[-1] if lines and isinstance(lines[-1], dict) else {}
        if "seconds" in last:
            total = {k: max(v, last[k]) if k == "peak" else v + last[k] for k, v in total.items()}
            if ran.stderr:
                found.append((first, f"something was printed: {ran.stderr[-2000:]}"))
            break
        if not lines:
            raise RuntimeError(f"{loader}'s own files are not loaded: {ran.stderr}")
        index = max(line for line in lines if isinstance(line, int))
        found.append((index, f"the process ended with {ran.returncode}: {ran.stderr[-2000:]}"))
        first = index + 1
    for index, words in found:
        _keep(loader, seed, index, words)
    print(
        f"{loader:18} {count:9} {total['loaded']:7} {count - total['loaded'] - len(found):8} "
        f"{total['peak']:8} {total['seconds']:8.1f}",
        flush=True,
    )
    return len(found)


def main() -> int:
    """Runs the command; 1 where a loader did what it should not."""
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], *map(int, sys.argv[3:]))
        return 0
    parser = argparse.ArgumentParser(prog="tools.stress.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=2000, help="files for each loader")
    parser.add_argument("--loader", choices=LOADERS, action="append", help="by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=512, help="that a loader may take")
    given = parser.parse_args()
    print(f"{'loader':18} mutations  loaded rejected peak, MB  seconds", flush=True)
    violations = sum(
        fuzz(loader, given.seed, given.mutations, given.megabytes)
        for loader in given.loader or LOADERS
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
