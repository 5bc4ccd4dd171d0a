"""Command-line arguments become a dataclass: tyro does the work, what it refuses becomes one `ValueError`.

An unknown option names the nearest ones. Help goes to stdout and ends the process with code 0, as tyro has it.
"""

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro

_MARKERS = (tyro.conf.AvoidSubcommands,)


def parse(options: Any, args: Sequence[str], *, prog: str, default: Any = None) -> Any:
    """The options that `args` describe.

    Args:
        options: a dataclass, also a parametrised generic one; its docstrings are the help.
        args: arguments after the command's name.
        prog: the command as the user typed it, for help and errors ("generalist train smoke").
        default: an instance to start from; without one the dataclass' own defaults.

    Raises:
        ValueError: an unknown option (with the nearest ones), a value of the wrong type, or one that the dataclass
            refuses; one line.
        SystemExit: code 0, after `--help`.
    """
    given = {} if default is None else {"default": default}
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed, unknown = tyro.cli(
                options, args=args, prog=prog, config=_MARKERS, return_unknown_args=True, **given
            )
    except SystemExit as exit:
        if not exit.code:
            raise
        raise ValueError(f"{_first_rows(complaint.getvalue())}; see `{prog} --help`") from None
    sys.stderr.write(complaint.getvalue())  # warnings, if any
    if unknown:
        raise ValueError(_unknown_option(unknown[0], _flags(options, prog, given), prog))
    return parsed


def _unknown_option(given: str, flags: list[str], prog: str) -> str:
    if not given.startswith("-"):
        hint = f"a task is given as --task {given}" if "--task" in flags else f"see `{prog} --help`"
        return f"`{prog}` takes no argument {given!r}; {hint}"
    name = given.split("=")[0]
    by_last_part = [flag for flag in flags if flag.rsplit(".", 1)[-1] == name.lstrip("-").replace("_", "-")]
    if by_last_part:
        return f"`{prog}` has no option {name}: did you mean {' or '.join('--' + f.lstrip('-') for f in by_last_part)}?"
    near = difflib.get_close_matches(name, flags, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"see `{prog} --help`"
    return f"`{prog}` has no option {name}: {hint}"


def _flags(options: Any, prog: str, given: dict[str, Any]) -> list[str]:
    """Every option's name, read from the help text: the one public place that has them all."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(options, args=["--help"], prog=prog, config=_MARKERS, **given)
    return sorted(set(re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*", text.getvalue())))


def _first_rows(box: str) -> str:
    """The message of tyro's boxed error without its frame: the rows above the first rule, as one line."""
    rows: list[str] = []
    for line in box.splitlines():
        row = line.strip("│ ")
        if row.startswith("╭"):
            continue
        if not row.strip("─╰╯") and rows:
            break
        rows.append(row)
    return " ".join(" ".join(rows).split())
