"""What a study of adaptation shows: a bar for each kind of part; where there is no terminal, lines with the time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from generalist.tokenizers.printable import SafeConsole
from generalist.train.display import progress_bars


class AdaptDisplay:
    """`quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.console = SafeConsole(stderr=True)

    @contextmanager
    def working(self, what: str, total: int, known: int) -> Iterator[Callable[[str], None]]:
        """A bar of parts, of which some are known already; gives the function to call as each ends."""
        bars = progress_bars(self.console, visible=not self.quiet and self.console.is_terminal)
        line = bars.add_task(what, total=total, completed=known, text="")
        begun, count = time.monotonic(), 0

        def done(name: str) -> None:
            nonlocal count
            count += 1
            bars.update(line, advance=1, text=name)
            if not self.console.is_terminal:
                left = (time.monotonic() - begun) / count * (total - known - count)
                self._say(f"{what}: {known + count} of {total}, {name}; about {left / 60:.0f} min left of these")

        with bars:
            yield done
        if known and not self.console.is_terminal:
            self._say(f"{what}: {known} of {total} were done before")

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
