"""Whether batches are made as fast as updates take them: measured making against the fastest possible taking."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generalist.tokenizers.sequence import Capacity
from generalist.train.data import Source, packed_rows

SECONDS = 1.0
"""Of making, after a first batch that opens files and fills caches."""


@dataclass(frozen=True, kw_only=True)
class InputRate:
    """Tokens per second, padding not counted.

    Args:
        made: by one worker, or the thread that stands for it, on this machine.
        needed: at most, by updates that reach the peak of the devices here; None where they are not the mesh's.
    """

    made: float
    needed: float | None

    @property
    def workers(self) -> int | None:
        """Workers that suffice."""
        return None if self.needed is None else max(1, -int(-self.needed // self.made))


def made_per_second(sources: Sequence[Source], weights: Sequence[float], capacity: Capacity, rows: int) -> float:
    """Tokens that one worker makes in a second of its own time."""
    stream = packed_rows(sources, weights, capacity, rows=rows)
    next(stream)
    tokens, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < SECONDS:
        tokens += int(np.count_nonzero(next(stream).tokens["segment"]))
    return tokens / spent
