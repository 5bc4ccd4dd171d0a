"""What commands print: tables and one-line errors, with colour where the terminal has it.

Results go to stdout, so that they can be piped; errors and progress go to stderr. Neither has control characters or
markup of others (`generalist.tokenizers.printable`).
"""

import io
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from generalist.tokenizers.printable import SafeConsole, printable

PIPED_WIDTH = 200


def console(*, stderr: bool = False, piped_width: int = PIPED_WIDTH) -> Console:
    """The terminal, made at each call so that redirections are honoured; a pipe is not wrapped to 80 columns."""
    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    return SafeConsole(stderr=stderr, width=piped_width if piped else None)


def open_closed_streams() -> None:
    """Streams that were closed before the start (`>&-`, services) lead nowhere; no file of ours takes their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:  # what libraries print to the number would land in the next file that is opened
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
        setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (open until the process ends)


def show_warnings_as_lines() -> None:
    """A warning is one line of its own words, without the place in our code that gave it."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(' '.join(str(message).split()))}\n"


def print_at_once() -> None:
    """From now on every line is written as it is printed, also into a file or a pipe (Python waits for 8 KB)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def print_error(message: str) -> None:
    """Print `error: message` to stderr as one line, however narrow the terminal is."""
    console(stderr=True).print(Text.assemble(("error:", "bold red"), " ", printable(message)), soft_wrap=True)


def print_notice(message: str) -> None:
    """Print a message to stderr as one line."""
    console(stderr=True).print(message, soft_wrap=True)


def table(rows: Iterable[Mapping[str, Any]], *, title: str | None = None) -> Table:
    """A table with one column for each key of the first row; numbers are flush right, None is a dash."""
    rows = list(rows)
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in rows[0] if rows else ():
        number = any(isinstance(row[name], int | float) for row in rows)
        made.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        made.add_row(*(printable(_text(value)) for value in row.values()))
    return made


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
