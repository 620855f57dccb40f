"""Kills commands at random instants, resumes them, and compares with undisturbed ones.

    python -m tools.stress.kill [--times 50] [--seed N] [--kinds train,jobs,...]

Numbers must be equal to the bit, timings excepted; each log must have each step once; no temporary
file may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SMALL = ["--epochs", "40", "--hidden-size", "8", "--train-limit", "256", "--test-limit", "64"]
SMALL += ["--threads", "1", "--checkpoint-every", "2"]
KINDS = {
    "train": ["train", "pdigits", "--model", "momentum-lstm", *SMALL],
    "jobs": ["compare", "pdigits", "--models", "lstm,gru", "--seeds", "1", "--jobs", "2", *SMALL],
    "tune": [
        *("compare", "pdigits", "--models", "lstm,rmsprop-lstm", "--tune", "lr=0.001,0.01"),
        *("--seeds", "1", "--jobs", "1", *SMALL),
    ],
    "sweep": [
        *("sweep", "pdigits", "--model", "momentum-lstm", "--space", "mu=0:0.9"),
        *("--trials", "3", "--jobs", "1", *SMALL),
    ],
    "slides": ["reproduce", "slides-noise-decaying", "--iterations", "300", "--jobs", "2"],
    "table": ["reproduce", "findings-digits", "--scale", "smoke", "--seeds", "1", "--jobs", "2"],
}
TIMES = {"train_seconds", "seconds"}  # what differs from run to run
PHASES = ("before", "inside", "after")


def start(kind: str, out: Path, resume: bool) -> subprocess.Popen[bytes]:
    """Starts a command in a group of processes of its own."""
    command = [sys.executable, "-m", "torchmomentum", *KINDS[kind], "--quiet", "--out", str(out)]
    command += ["--runs", str(out / "runs"), *(["--resume"] if resume else [])]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    with (out.parent / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def end_of(process: subprocess.Popen[bytes], seconds: float | None) -> int | None:
    """Its exit code; None where it had to be killed after so many seconds, with its children."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def phase(out: Path) -> str:
    """Whether runs had begun, and whether all that had begun were done."""
    begun, done = (len(list(out.glob(f"runs/*/{n}.json"))) for n in ("recipe", "result"))
    return "before" if not begun else "inside" if done < begun else "after"


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in TIMES}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


def numbers(out: Path) -> dict[str, Any]:
    """Values and curves of all runs of a folder, and of its study."""
    found = {}
    for path in sorted(out.rglob("result*.json")):
        held = json.loads(path.read_text())
        for run in held.get("runs", [held]):
            name = json.dumps([path.name, run["recipe"], run["arm"], run["seed"]], sort_keys=True)
            found[name] = _without_times({k: run[k] for k in ("values", "curves", "failed")})
    return found


def problems(out: Path, whole: Path) -> list[str]:
    """What is wrong with a folder whose command was killed, compared with an undisturbed one."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found, expected = [], numbers(whole)
    if not expected or numbers(out) != expected:
        found.append("its numbers differ")
    found += [f"{path.name} is left" for path in out.rglob(".*.tmp-*")]
    for folder in out.rglob("tensorboard"):
        log = EventAccumulator(str(folder))
        log.Reload()
        steps = json.loads((folder.parent / "result.json").read_text())["curves"]["step"]
        for tag in log.Tags()["scalars"]:
            if [event.step for event in log.Scalars(tag)] != steps:
                found.append(f"{folder.parent.name} logs {tag} at other steps")
    return found


def undisturbed(kind: str, folder: Path) -> tuple[float, float]:
    """Runs a command in ``folder/whole``; returns the seconds until runs began, and in all."""
    began, out = time.monotonic(), folder / "whole"
    process = start(kind, out, resume=False)
    while process.poll() is None and phase(out) == "before":
        time.sleep(0.01)
    first = time.monotonic() - began
    if end_of(process, None) != 0:
        raise SystemExit(f"{kind} fails undisturbed: {(folder / 'log').read_text()}")
    return first, time.monotonic() - began


def kill(kind: str, folder: Path, times: int, draws: random.Random) -> tuple[Counter[str], str]:
    """Kills a command so many times, from its beginning again whenever it got to its end.

    Returns:
        How many kills landed in each phase, and what went wrong.
    """
    first, seconds = undisturbed(kind, folder)
    landed, wrong, cut = Counter[str](), list[str](), folder / "cut"
    while True:
        left = times - sum(landed.values())
        # every other kill after runs began, which most of a small command's time is before
        instant = draws.uniform(first * (left % 2), seconds) if left > 0 else None
        code = end_of(start(kind, cut, resume=cut.exists()), instant)
        if code is None:
            landed[phase(cut)] += 1
            continue
        if code != 0:
            wrong.append(f"exit code {code}: {(folder / 'log').read_text()[-2000:]}")
            return landed, "; ".join(wrong)
        wrong += problems(cut, folder / "whole")
        if left <= 0:
            return landed, "; ".join(wrong)
        shutil.rmtree(cut)


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills, of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="fixes the instants")
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args(arguments)
    kinds, draws, failed = options.kinds.split(","), random.Random(options.seed), False
    for i, kind in enumerate(kinds):
        times = options.times // len(kinds) + (i < options.times % len(kinds))
        with tempfile.TemporaryDirectory() as folder:
            landed, wrong = kill(kind, Path(folder), times, draws)
        counts = ", ".join(f"{landed[name]} {name}" for name in PHASES)
        print(f"{kind}: {times} kills, {counts} training; {wrong or 'equal'}", flush=True)
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
