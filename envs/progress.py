"""Progress of a collection: one line for the whole, one for each task that is being recorded, with rates.

Finished tasks leave the display, so that hundreds of them fit on a screen.
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
        name = TextColumn("{task.description}", table_column=Column(no_wrap=True))
        times = TimeElapsedColumn(), TimeRemainingColumn(compact=True)
        rates = _Rate("recorded", "ep/s"), _Rate("steps", "steps/s")
        columns = name, BarColumn(bar_width=None), MofNCompleteColumn(), *times, *rates
        self._progress = Progress(*columns, console=console or Console(stderr=True), disable=not visible, expand=True)
        self._tasks = tasks
        self._finished = 0
        self._lines: dict[str, TaskID] = {}
        total, kept = (sum(part) for part in zip(*tasks.values(), strict=True)) if tasks else (0, 0)
        self._whole = self._progress.add_task(self._title(), total=total, completed=kept, recorded=0, steps=0)

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

    def finish(self, task_id: str) -> None:
        """The task is complete: its line makes room for others, and the last one stays."""
        self._finished += 1
        self._progress.update(self._whole, description=self._title())
        if task_id in self._lines and self._finished < len(self._tasks):
            self._progress.remove_task(self._lines.pop(task_id))

    def _title(self) -> str:
        return f"{WHOLE} ({self._finished} of {len(self._tasks)} done)"

    def _fields(self, line: TaskID) -> dict:
        return self._progress.tasks[self._progress.task_ids.index(line)].fields
