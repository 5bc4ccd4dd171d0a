"""What is said where some parts of a whole failed and the others are done."""

from collections.abc import Sequence

from generalist.envs.files import WritingError


class PartsFailed(RuntimeError):  # noqa: N818
    """Some parts failed; the message is one line for each, in `failures`. What the others made stands."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def is_of_one_part(error: BaseException) -> bool:
    """Whether what was raised ends one part alone: what foreign code raises, `sys.exit` among it.

    A request to stop, and a file of ours that cannot be written, end the whole.
    """
    return type(error) is SystemExit or (isinstance(error, Exception) and not isinstance(error, WritingError))
