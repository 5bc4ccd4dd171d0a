"""What a scaling study shows beside its trainings: lines with the time left, and a bar while it plays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from generalist.tokenizers.printable import SafeConsole
from generalist.train.display import progress_bars


class StudyDisplay:
    """`quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.console = SafeConsole(stderr=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[str], None]]:
        """A bar; gives the function to call as each ends. Without a terminal, a line at the end."""
        bars = progress_bars(self.console, visible=not self.quiet and self.console.is_terminal)
        line = bars.add_task(what, total=total, text="")
        count = 0

        def done(name: str) -> None:
            nonlocal count
            count += 1
            bars.update(line, advance=1, text=name)

        with bars:
            yield done
        if count and not self.console.is_terminal:
            self.say(f"{what}: {count} done")
