"""Sources and corpora that worker processes can import, for what goes wrong in them."""

import os
import signal
import sys
from dataclasses import dataclass

from token_examples import episode

from generalist.corpora.corpus import BadExampleError
from generalist.tokenizers.parts import Document, Words
from generalist.tokenizers.sequence import TokenSequence


class NeedsTwoError(Exception):
    """Cannot be made again from what it keeps, as exceptions of some packages."""

    def __init__(self, one: str, other: str):
        super().__init__(one)
        self.other = other


@dataclass(frozen=True)
class Failing:
    """Small examples, until one of them does what `how` says."""

    index: int
    how: str
    after: int = 5

    def __getitem__(self, i: int) -> TokenSequence:
        if i >= self.after:
            getattr(self, self.how)(i)
        return episode("discrete", 2, seed=int(i))

    def value_error(self, i: int) -> None:
        raise ValueError(f"example {i} of {self.index} is damaged")

    def needs_two(self, i: int) -> None:
        raise NeedsTwoError("one", "other")

    def unsendable(self, i: int) -> None:
        raise ValueError(lambda: i)

    def dies(self, i: int) -> None:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    def leaves(self, i: int) -> None:
        sys.exit(3)

    def tells_devices(self, i: int) -> None:
        """As the message of an exception: which devices JAX may use, and whether it looked for them."""
        from jax._src import xla_bridge

        raise ValueError(f"{os.environ['JAX_PLATFORMS']} {xla_bridge.backends_are_initialized()}")


@dataclass(frozen=True)
class Broken:
    """Every third text cannot be read."""

    count: int
    measure: str = "text"
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Document:
        if index % 3 == 0:
            raise BadExampleError(f"line {index}: broken")
        return (Words(f"text {index}"),)
