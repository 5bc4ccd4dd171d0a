"""What is said where some parts of a whole failed and the others are done."""

from collections.abc import Sequence

from generalist.envs.files import WritingError

LONGEST_MESSAGE = 1000
"""Characters of a foreign message that are shown."""


class PartsFailed(RuntimeError):  # noqa: N818
    """Some parts failed; the message is one line for each, in `failures`. What the others made stands."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def is_of_one_part(error: BaseException) -> bool:
    """Whether what was raised ends one part alone: what foreign code raises, `sys.exit` and other exceptions that are
    no `Exception` (a panic of an extension in Rust) among it.

    Ctrl-C, a request to stop, and a file of ours that cannot be written, end the whole.
    """
    if isinstance(error, SystemExit):
        return type(error) is SystemExit  # ours to stop are of their own types
    return not isinstance(error, (KeyboardInterrupt, WritingError))


def in_words(error: BaseException) -> str:
    """Type and message of what was raised, in one line of bounded length, whatever its own code makes of it."""
    try:
        message = " ".join(str(error).split())
    except Exception as cause:  # `__str__` is foreign code too
        message = f"(its message cannot be read: {type(cause).__name__})"
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[:LONGEST_MESSAGE]}... ({len(message):,} characters)"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
