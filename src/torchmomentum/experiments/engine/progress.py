"""Progress on the terminal: one bar for all runs with the time left, one for each under way."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from torchmomentum.experiments.engine.processes import is_first_process


class RunsProgress:
    """Bars for runs known by their names. Use it as a context.

    Args:
        runs: How many there are in all.
        done: How many had been finished before.
        quiet: Shows nothing, as all but the first of processes that train together do.
    """

    def __init__(self, runs: int, done: int = 0, *, quiet: bool = False) -> None:
        quiet = quiet or not is_first_process()
        self.console = Console(quiet=quiet, stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}"),
            console=self.console,
            disable=quiet,
        )
        self._runs, self._finished, self._under_way = runs, done, dict[str, float]()
        self._tasks: dict[str, TaskID] = {}
        # the finished ones of an earlier command took none of this one's time
        self._all = self._bars.add_task("runs", total=runs - done, words="", count="")
        self._show()

    def __enter__(self) -> RunsProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def _show(self) -> None:
        before = self._runs - (self._bars.tasks[0].total or 0)
        done = self._finished - before + sum(self._under_way.values())
        count = f"{self._finished}/{self._runs}"
        self._bars.update(self._all, completed=done, count=count)

    def update(self, run: str, words: str, step: int, steps: int) -> None:
        """A run has done so many of its steps."""
        if run not in self._tasks:
            label = run.rpartition("-")[0]  # without the hash
            self._tasks[run] = self._bars.add_task(label, total=steps, words=words, count="")
        count = f"{step}/{steps}"
        self._bars.update(self._tasks[run], completed=step, total=steps, words=words, count=count)
        self._under_way[run] = step / max(steps, 1)
        self._show()

    def finish(self, run: str, words: str) -> None:
        """A run has ended."""
        if run in self._tasks:
            self._bars.remove_task(self._tasks.pop(run))
        self._under_way.pop(run, None)
        self._finished += 1
        self._show()
        label = run.rpartition("-")[0]
        self.console.print(f"{label}: {words}", highlight=False, soft_wrap=True)
