"""The shell around every command: bad input is one clear line and an exit code, never a traceback.

It knows which exceptions are the user's to act on. Anything else is a fault of this package: it keeps its traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence

from generalist.configs.commands.platforms import missing_platform
from generalist.configs.commands.terminal import print_error, print_notice
from generalist.envs.failures import PartsFailed
from generalist.envs.files import FULL, TOO_MANY
from generalist.train.preemption import Stopped

DEBUG = "--debug"
"""Flag of every command: let the exception through, with its traceback."""

BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def run(main: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """Call `main` with the arguments (`--debug` taken out) and give the exit code of the process.

    Args:
        main: the command; returns when it has succeeded.
        argv: arguments without the program's name.

    Returns:
        0, also after a SIGTERM that was obeyed; 2 after bad input, a missing extra or a failing disk; 130 after
        Ctrl-C; the code of a `SystemExit`.

    Raises:
        Exception: with `--debug` every exception; without it those that are not the user's to act on.
    """
    arguments = [argument for argument in argv if argument != DEBUG]
    try:
        main(arguments)
    except KeyboardInterrupt:
        if DEBUG in argv:
            raise
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `generalist tasks | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Stopped as stopped:
        print_notice(str(stopped))
        return 0
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 0 if exit.code is None else BAD_INPUT
    except Exception as error:
        if DEBUG in argv:
            raise
        if said := missing_platform(error):
            print_error(said)
            return BAD_INPUT
        if not _is_the_users(error):
            raise
        for line in _lines(error):
            print_error(line)
        return BAD_INPUT
    return 0


def _lines(error: Exception) -> list[str]:
    """One for each thing that was wrong."""
    failures = error.failures if isinstance(error, PartsFailed) else ()
    return [" ".join(failure.split()) for failure in failures] or [explain(error)]


def explain(error: Exception) -> str:
    """One line that says what was wrong; for a failing file it always has the file and the reason."""
    if isinstance(error, OSError) and error.strerror and error.errno and error.strerror != os.strerror(error.errno):
        return error.strerror  # said by us, with the file
    if isinstance(error, OSError) and error.errno in FULL:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"no space left on the disk{where}; free some and run the same command again"
    if isinstance(error, OSError) and error.errno in TOO_MANY:
        where = f" to open {error.filename}" if error.filename else ""
        return f"too many files are open{where}; allow more (ulimit -n 4096) and run the same command again"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__


def _is_the_users(error: Exception) -> bool:
    # Imported here, because they take longer than printing the help; where they are raised, they are loaded already.
    if isinstance(error, ImportError):
        return "generalist[" in str(error)  # it says how to install what is missing
    if isinstance(error, RuntimeError):
        from generalist.train.makers import WorkerDied

        return isinstance(error, PartsFailed | WorkerDied)
    if isinstance(error, FloatingPointError):
        from generalist.train.metrics import DivergedError

        return isinstance(error, DivergedError)
    return isinstance(error, ValueError | OSError)
