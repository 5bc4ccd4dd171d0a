"""Progress bars of a collection: one line per task with episodes, episodes per second and steps per second."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Task as Line
from rich.table import Column
from rich.text import Text


class _Rate(ProgressColumn):
    """Recorded since the beginning of the task's bar, per second."""

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
        rates = _Rate("recorded", "ep/s"), _Rate("steps", "steps/s")
        columns = name, BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), *rates
        self._progress = Progress(*columns, console=console or Console(stderr=True), disable=not visible, expand=True)
        self._lines = {
            id: self._progress.add_task(id, total=total, completed=kept, start=False, recorded=0, steps=0)
            for id, (total, kept) in tasks.items()
        }

    def __enter__(self) -> CollectionProgress:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def add(self, task_id: str, episodes: int, steps: int) -> None:
        line = self._lines[task_id]
        fields = self._progress.tasks[self._progress.task_ids.index(line)].fields
        self._progress.start_task(line)
        self._progress.update(
            line, advance=episodes, recorded=fields["recorded"] + episodes, steps=fields["steps"] + steps
        )

    def finish(self, task_id: str) -> None:
        """The task is complete: its clock stops."""
        self._progress.stop_task(self._lines[task_id])
