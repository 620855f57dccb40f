"""Workers share one search and are killed at random: ``python -m tools.stress.workers``.

Their values are drawn by a trial's number, so that the trials must be those of a worker that nobody
disturbed; a worker that is killed is replaced.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torchmomentum.experiments.engine.checkpoints import checkpoints
from torchmomentum.experiments.studies.run import load_results

_COMMAND = (
    *("sweep", "pdigits", "--model", "momentum-lstm", "--hidden-size", "16", "--epochs", "3"),
    *("--train-limit", "512", "--threads", "1", "--jobs", "1", "--sampler", "random", "--quiet"),
    *("--space", "lr=1e-4:1e-1:log", "--space", "mu=0:0.99", "--checkpoint-every", "5"),
)

_BETWEEN = 0.5, 5.0  # seconds between kills
_LOOK = 0.05  # seconds until the next look whether a run has begun


def _start(out: Path, storage: str, trials: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torchmomentum", *_COMMAND, "--trials", str(trials)]
    command += ["--out", str(out), "--storage", storage, "--resume"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _done(out: Path) -> int:
    return len(list((out / "runs").glob("*/result.json")))


def _begun(out: Path) -> list[Path]:
    """The runs that have checkpoints and no result."""
    folders = (path.parent for path in (out / "runs").glob("*/recipe.json"))
    return [f for f in folders if checkpoints(f) and not (f / "result.json").exists()]


def _check(process: subprocess.Popen[bytes]) -> bool:
    """Whether a worker goes on; ends where it has ended by a fault."""
    if process.poll() is None:
        return True
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"a worker failed: {said.decode()}")
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _disturb(out: Path, storage: str, trials: int, workers: int, kills: int, seed: int) -> int:
    """Lets workers compute all trials, killing some; returns how many kills were left."""
    drawn, left, amid = random.Random(seed), kills, 0
    running = [_start(out, storage, trials) for _ in range(workers)]
    pause = drawn.uniform(*_BETWEEN)
    try:
        while left and _done(out) < trials:
            time.sleep(pause)
            pause = _LOOK
            running = [process for process in running if _check(process)]
            if not running or not _begun(out):
                running += [_start(out, storage, trials) for _ in range(workers - len(running))]
                continue
            doomed = drawn.choice(running)
            _kill(doomed)
            amid += bool(_begun(out))
            left, pause = left - 1, drawn.uniform(*_BETWEEN)
            running.remove(doomed)
            running.append(_start(out, storage, trials))
        for process in running:
            process.wait()
            _check(process)
    finally:
        for process in running:
            _kill(process)
    print(f"{kills - left} workers killed, {amid} amid a training")
    return left


def main() -> None:
    """Compares the trials of disturbed workers with those of one that was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", help="a database, empty; a journal by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shared, alone = Path(folder) / "shared", Path(folder) / "alone"
        for out in (shared, alone):
            out.mkdir()  # where its journal lies
        storage = options.storage or str(shared / "trials.journal")
        left = _disturb(
            shared, storage, options.trials, options.workers, options.kills, options.seed
        )
        process = _start(alone, str(alone / "trials.journal"), options.trials)
        process.wait()
        _check(process)
        found, expected = (_numbers(out) for out in (shared, alone))
    if found != expected:
        raise SystemExit(f"the trials differ: {found} and {expected}")
    print(f"{len(found)} trials, equal to the bit to those of one undisturbed worker")
    if left:
        raise SystemExit(f"all trials had ended before {left} more kills: give more --trials")


def _numbers(out: Path) -> list[str]:
    """What every trial gave, without times."""
    curves = ("epoch", "train_loss", "test_metric", "validation_metric")
    return [
        json.dumps([run.arm, run.values, {name: run.curves[name] for name in curves}])
        for run in load_results(out).runs
    ]


if __name__ == "__main__":
    main()
