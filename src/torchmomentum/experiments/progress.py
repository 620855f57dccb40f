"""Progress on the terminal: one bar for all runs, one for each under way."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining


class RunsProgress:
    """Bars for runs known by their names. Use it as a context.

    Args:
        runs: How many there are in all.
        done: How many had been finished before.
        quiet: Shows nothing.
    """

    def __init__(self, runs: int, done: int = 0, *, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Remaining(),
            TextColumn("{task.fields[words]}"),
            console=self.console,
            disable=quiet,
        )
        self._all = self._bars.add_task("runs", total=runs, completed=done, words="")
        self._runs: dict[str, TaskID] = {}

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

    def update(self, run: str, words: str, step: int, steps: int) -> None:
        """A run has done so many of its steps."""
        if run not in self._runs:
            self._runs[run] = self._bars.add_task(run, total=steps, words=words)
        self._bars.update(self._runs[run], completed=step, total=steps, words=words)

    def finish(self, run: str, words: str) -> None:
        """A run has ended."""
        if run in self._runs:
            self._bars.remove_task(self._runs.pop(run))
        self._bars.advance(self._all)
        self.console.print(f"{run}: {words}", highlight=False)
