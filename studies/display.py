"""What a study shows: a bar for each kind of part; without a terminal, lines now and then, with the time left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from generalist.tokenizers.printable import SafeConsole
from generalist.train.display import progress_bars

EVERY = 20.0
"""Seconds between lines where there is no terminal."""


class StudyDisplay:
    """`quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet
        self.console = SafeConsole(stderr=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def working(self, what: str, total: int, known: int = 0) -> Iterator[Callable[[str], None]]:
        """A bar of parts, of which some are known already; gives the function to call as each ends."""
        lines = not self.console.is_terminal
        bars = progress_bars(self.console, visible=not self.quiet and not lines)
        line = bars.add_task(what, total=total, completed=known, text="")
        begun, said, count = time.monotonic(), -EVERY, 0
        if known and lines:
            self.say(f"{what}: {known} of {total} were done before")

        def done(name: str) -> None:
            nonlocal said, count
            count += 1
            bars.update(line, advance=1, text=name)
            passed, left = time.monotonic() - begun, total - known - count
            if lines and (passed - said >= EVERY or not left):
                said = passed
                minutes = passed / count * left / 60
                about = f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"
                ahead = f"; {about} left of these" if left else ""
                self.say(f"{what}: {known + count} of {total}, {name}{ahead}")

        with bars:
            yield done
