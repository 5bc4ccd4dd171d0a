"""What is said where some parts of a whole failed and the others are done."""

from collections.abc import Sequence


class PartsFailed(RuntimeError):  # noqa: N818
    """Some parts failed; the message is one line for each, in `failures`. What the others made stands."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)
