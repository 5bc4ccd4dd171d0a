"""Progress of a training that is no run: updates, their rate and the loss."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINES = 10
"""Without a terminal so many lines are printed in all."""


@contextmanager
def update_bar(steps: int) -> Iterator[Callable[[int, float], None]]:
    """A function to call with each update's number, from 1, and its loss."""
    out = Console(stderr=True)
    columns = TextColumn("updates"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    ends = TimeRemainingColumn(compact=True), TextColumn("{task.fields[said]}")
    with Progress(*columns, *ends, console=out, disable=not out.is_terminal) as bar:
        line, begun = bar.add_task("", total=steps, said=""), time.perf_counter()

        def progress(step: int, loss: float) -> None:
            said = f"loss {loss:.4g}  {step / (time.perf_counter() - begun):.1f} updates/s"
            bar.update(line, completed=step, said=said)
            if not out.is_terminal and (step % max(1, steps // LINES) == 0 or step == steps):
                out.print(f"update {step}/{steps}  {said}", highlight=False, soft_wrap=True)

        yield progress
