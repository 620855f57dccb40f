"""Processes that work side by side, tell how far they are, and end with this one."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from typing import Any, Protocol

from torchmomentum.experiments import exits
from torchmomentum.experiments.engine import stopping
from torchmomentum.experiments.registry import load_used

_TOLD_EVERY = 0.2  # seconds between a worker's words on the same run


class Bars(Protocol):
    """Shows how far runs are, here or in another process."""

    def update(self, run: str, words: str, step: int, steps: int) -> None:
        """A run has done so many of its steps."""

    def finish(self, run: str, words: str) -> None:
        """A run has ended."""


class _Remote:
    """Bars that another process shows."""

    def __init__(self, told: Any) -> None:
        self._told, self._last = told, 0.0

    def update(self, run: str, words: str, step: int, steps: int) -> None:
        now = time.monotonic()
        if now - self._last > _TOLD_EVERY:
            self._last = now
            self._told.put(("update", run, words, step, steps))

    def finish(self, run: str, words: str) -> None:
        self._told.put(("finish", run, words))


def _end_with_parent() -> None:
    """Ends this process once its parent is gone, killed or not; files are whole at any time."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_manager() -> None:
    """It is there as long as the parent, who may be told to end at the same moment."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_with_parent()


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping.listen(lambda: os._exit(exits.TERMINATED))
    _end_with_parent()
    load_used()


def _call(function: Callable[..., Any], arguments: Sequence[Any], told: Any) -> Any:
    try:
        return function(*arguments, _Remote(told))
    except BaseException:
        if stopping.asked():  # no other run is to begin here
            os._exit(exits.TERMINATED)
        raise


def _show(told: Any, bars: Bars, timeout: float) -> None:
    """Shows what was told, and waits for more of it no longer than this."""
    try:
        while True:
            kind, *news = told.get(timeout=timeout)
            getattr(bars, kind)(*news)
            timeout = 0.0
    except queue.Empty:
        pass


def side_by_side(
    function: Callable[..., Any],
    calls: Sequence[Sequence[Any]],
    jobs: int,
    bars: Bars,
    done: Callable[[int, Any], None],
) -> None:
    """Makes calls in processes.

    Args:
        function: Is called with the arguments of a call and with :class:`Bars`.
        calls: The arguments of each.
        jobs: Processes.
        bars: Shows what the calls tell.
        done: ``done(index, returned)``, as calls end.
    """
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_start_manager)
    with manager:
        told = manager.Queue()
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
        try:
            waiting: dict[int, Future[Any]] = {
                index: pool.submit(_call, function, arguments, told)
                for index, arguments in enumerate(calls)
            }
            while waiting:
                _show(told, bars, _TOLD_EVERY)
                for index in [i for i, future in waiting.items() if future.done()]:
                    done(index, waiting.pop(index).result())
            _show(told, bars, 0.0)
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
