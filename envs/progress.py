"""Progress of a collection: one line for the whole, one for each task that is being recorded, with rates.

Finished tasks leave the display, so that hundreds of them fit on a screen. Without a terminal a line is printed for
every tenth of the whole instead.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Line
from rich.table import Column
from rich.text import Text

WHOLE = "all tasks"


class _Rate(ProgressColumn):
    """Recorded since the beginning of the line, per second."""

    def __init__(self, field: str, unit: str):
        super().__init__(table_column=Column(no_wrap=True, justify="right"))
        self._field, self._unit = field, unit

    def render(self, task: Line) -> Text:
        amount, seconds = task.fields[self._field], task.elapsed
        rate = f"{amount / seconds:,.0f} {self._unit}" if amount and seconds else ""
        return Text(rate, style="cyan")


class CollectionProgress:
    """A context manager around a collection; silent if `visible` is false.

    Args:
        tasks: id -> (number of episodes, how many of them were there already).
        console: stderr by default, so that results on stdout can be piped.
    """

    def __init__(self, tasks: dict[str, tuple[int, int]], *, visible: bool, console: Console | None = None):
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
        times = TimeElapsedColumn(), TimeRemainingColumn(compact=True)
        self._rates = _Rate("recorded", "ep/s"), _Rate("steps", "steps/s")
        columns = name, BarColumn(bar_width=None), MofNCompleteColumn(), *times, *self._rates
        console = console or Console(stderr=True)
        bars = visible and console.is_terminal
        self._progress = Progress(*columns, console=console, disable=not bars, expand=True)
        self._lines_only = visible and not bars
        self._tasks = tasks
        self._finished = 0
        self._lines: dict[str, TaskID] = {}
        total, kept = (sum(part) for part in zip(*tasks.values(), strict=True)) if tasks else (0, 0)
        self._whole = self._progress.add_task(self._title(), total=total, completed=kept, recorded=0, steps=0)
        self._printed = kept * 10 // max(total, 1)

    def __enter__(self) -> CollectionProgress:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def add(self, task_id: str, episodes: int, steps: int) -> None:
        """So much was recorded; the task's line appears with its first episode."""
        if task_id not in self._lines:
            total, kept = self._tasks[task_id]
            self._lines[task_id] = self._progress.add_task(task_id, total=total, completed=kept, recorded=0, steps=0)
        for line in (self._lines[task_id], self._whole):
            fields = self._fields(line)
            recorded, walked = fields["recorded"] + episodes, fields["steps"] + steps
            self._progress.update(line, advance=episodes, recorded=recorded, steps=walked)
        self._print_tenth()

    def finish(self, task_id: str) -> None:
        """The task is complete: its line makes room for others, and the last one stays."""
        self._finished += 1
        self._progress.update(self._whole, description=self._title())
        if task_id in self._lines and self._finished < len(self._tasks):
            self._progress.remove_task(self._lines.pop(task_id))

    def _print_tenth(self) -> None:
        whole = self._progress.tasks[0]
        tenth = int(whole.completed * 10 // (whole.total or 1))
        if self._lines_only and tenth > self._printed:
            self._printed = tenth
            rates = " ".join(column.render(whole).plain for column in self._rates)
            text = f"{whole.completed:,.0f}/{whole.total:,.0f} episodes  {whole.elapsed:.0f} s  {rates}"
            self._progress.console.print(
                f"{self._title()}  {text}", markup=False, emoji=False, highlight=False, soft_wrap=True
            )

    def _title(self) -> str:
        return f"{WHOLE} ({self._finished} of {len(self._tasks)} done)"

    def _fields(self, line: TaskID) -> dict:
        return self._progress.tasks[self._progress.task_ids.index(line)].fields
