"""Trains several models on the same data, order and budget, over several seeds."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from torchmomentum.experiments.configuration import RunConfig
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.files import read_json, write_json, write_text
from torchmomentum.experiments.plots import plot_comparison
from torchmomentum.experiments.progress import RunsProgress
from torchmomentum.experiments.provenance import provenance
from torchmomentum.experiments.recipes import recipe
from torchmomentum.experiments.recorder import Diverged, Progress
from torchmomentum.experiments.report import comparison, summary
from torchmomentum.experiments.training import RESULT, Config, Place, check, check_folder, train

RESULTS, SUMMARY = "results.json", "summary.md"
_TOLD_EVERY = 0.2  # seconds between a worker's words

Plan = dict[str, tuple[Config, Place]]


def run_name(config: Config) -> str:
    """A run's name, and its folder below the comparison's."""
    return f"{config.model}/seed-{config.init_seed}"


def _train(config: Config, place: Place, progress: Progress) -> dict[str, Any]:
    """A run's result; that it diverged is one too."""
    try:
        return train(config, place, progress)
    except Diverged as error:
        result: dict[str, Any] = error.args[1]
        return result


def _work(name: str, config: Config, place: Place, told: Any) -> dict[str, Any]:
    """Trains a run in a worker, and tells how far it is now and then."""
    last = 0.0

    def tell(words: str, step: int, steps: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TOLD_EVERY:
            last = now
            told.put((name, words, step, steps))

    return _train(config, place, tell)


def _ignore_interrupts() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers; checkpoints are whole at any time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_here(plan: Plan, bars: RunsProgress, done: Callable[[str, dict[str, Any]], None]) -> None:
    for name, (config, place) in plan.items():

        def tell(words: str, step: int, steps: int, name: str = name) -> None:
            bars.update(name, words, step, steps)

        done(name, _train(config, place, tell))


def _run_beside(
    plan: Plan, jobs: int, bars: RunsProgress, done: Callable[[str, dict[str, Any]], None]
) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        told = manager.Queue()
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_ignore_interrupts)
        try:
            waiting: dict[str, Future[dict[str, Any]]] = {
                name: pool.submit(_work, name, config, place, told)
                for name, (config, place) in plan.items()
            }
            while waiting:
                try:
                    name, *news = told.get(timeout=_TOLD_EVERY)
                    if name in waiting:
                        bars.update(name, *news)
                except queue.Empty:
                    pass
                for name in [n for n, future in waiting.items() if future.done()]:
                    done(name, waiting.pop(name).result())
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


def _prepare(configs: Sequence[Config], place: Place) -> tuple[Plan, dict[str, dict[str, Any]]]:
    """What is still to run, and the results that are there."""
    plan: Plan = {}
    finished: dict[str, dict[str, Any]] = {}
    if place.folder.exists() and not place.folder.is_dir():
        raise UsageError(f"{place.folder} is a file; give another --out")
    for config in configs:
        name = run_name(config)
        folder = place.folder / name
        check_folder(config, folder, resume=place.resume)
        if (folder / RESULT).exists():
            finished[name] = read_json(folder / RESULT)
        else:
            plan[name] = (config, replace(place, folder=folder))
    return plan, finished


def run_all(
    configs: Sequence[Config], place: Place, *, jobs: int = 1, quiet: bool = False
) -> list[dict[str, Any]]:
    """Trains all runs, those that are finished already excepted, each in a folder of its own.

    Args:
        configs: The runs.
        place: Below its folder they read and write.
        jobs: Runs at a time, each in a process of its own where there are several.
        quiet: Shows no progress.

    Returns:
        What is in each run's ``result.json``.

    Raises:
        UsageError: The folder holds something else, or data is missing.
    """
    for config in configs:
        check(config)
    plan, finished = _prepare(configs, place)
    with RunsProgress(len(configs), len(finished), quiet=quiet) as bars:

        def done(name: str, result: dict[str, Any]) -> None:
            finished[name] = result
            if result.get("diverged"):
                bars.finish(name, result["diverged"])
                return
            value, seconds = result["summary"]["chosen"], result["train_seconds"]
            bars.finish(name, f"test {result['metric']} {value:.4f}, trained {seconds:.0f} s")

        if jobs > 1 and len(plan) > 1:
            _run_beside(plan, min(jobs, len(plan)), bars, done)
        else:
            _run_here(plan, bars, done)
    return [finished[run_name(config)] for config in configs]


def compare(
    configs: Sequence[RunConfig],
    place: Place,
    *,
    jobs: int = 1,
    quiet: bool = False,
    command: list[str] | None = None,
) -> dict[str, Any]:
    """Trains all runs and writes what came of them.

    Below ``place.folder``: each run in a folder of its own, ``results.json``, ``summary.md`` and
    the learning curves as PNG and SVG.

    Args:
        configs: The runs: every model with every seed, the first model being the baseline.
        place: Where the comparison reads and writes.
        jobs: See :func:`run_all`.
        quiet: Shows no progress.
        command: The command line, for the provenance.

    Returns:
        What is in ``results.json``.

    Raises:
        UsageError: The folder holds something else, or data is missing.
    """
    runs = run_all(configs, place, jobs=jobs, quiet=quiet)
    results = _gather(configs, runs, jobs, command)
    results["plots"] = plot_comparison(results, place.folder)
    write_json(place.folder / RESULTS, results)
    write_text(place.folder / SUMMARY, summary(results))
    return results


def _gather(
    configs: Sequence[RunConfig],
    runs: list[dict[str, Any]],
    jobs: int,
    command: list[str] | None,
) -> dict[str, Any]:
    first = configs[0]
    described = recipe(first.task, first.preset)
    results: dict[str, Any] = {
        "task": first.task,
        "title": described.title,
        "source": described.source,
        "preset": first.preset,
        "metric": runs[0]["metric"],
        "higher_is_better": runs[0]["higher_is_better"],
        "models": list(dict.fromkeys(config.model for config in configs)),
        "seeds": sorted({config.init_seed for config in configs}),
        "epochs": first.epochs,
        "jobs": jobs,
        "threads": first.threads,
        "provenance": provenance(command),
        "runs": runs,
        "plots": [],
    }
    results["comparison"] = comparison(results)
    return results
